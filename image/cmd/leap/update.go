package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"leap.example/image/deploy"
)

// updating is how nodes are given a release.
type updating struct {
	at          reach
	again, back bool
}

func (a *app) updateCommand() *cobra.Command {
	var u updating
	cmd := &cobra.Command{
		Use: "update FILE [FILTER]", Short: "Releases: give nodes one now, or say which they may take by themselves",
		Long: `There are two ways for a node to come to another release.

By itself: it takes what the vendor has signed and the provider's director allows,
when its turn has come. The commands below keep the director:
  leap update director init       once
  leap update allow 1.2.0         nodes may run the vendor's release 1.2.0
  leap update hold 1.2.0          those that do not run it yet shall not
  leap update status              what is allowed, and how far the copies are
  leap update director timestamp  every day, by a job

Now, from this machine: leap update FILE gives nodes the release in FILE, a .efi, one
node after the other, and restarts each. Nobody but you vouches for it then.
It is packed on the way (zstd), and the node compares what comes out with its hash.
A node takes a release on trial: if its services do not get healthy in time, or if it
panics three times, the node starts the release before it, and says why. The nodes
behind it are then left as they are.

A release that a node has found bad it does not take again, except with --again.
With --back, and without FILE, nodes give up the release that they run, and start
the one before it.`,
		Example: "  leap update allow 1.2.0\n  leap update leap_1.1.0.efi web1\n  leap update leap_1.1.0.efi\n  leap update --back web1",
		RunE: func(cmd *cobra.Command, words []string) error {
			var r deploy.Release
			if !u.back {
				if len(words) == 0 {
					return mistake(cmd, errors.New("the FILE of a release is missing"))
				}
				var err error
				if r, err = deploy.OpenRelease(words[0]); errors.Is(err, fs.ErrNotExist) {
					return mistake(cmd, fmt.Errorf("%q is neither a command of leap update nor the FILE of a release: %w", words[0], err))
				}
				if err != nil {
					return err
				}
				words = words[1:]
			} else if len(words) == 0 {
				return mistake(cmd, errors.New("name the nodes that go back"))
			}
			return a.update(cmd.Context(), r, words, u)
		},
	}
	cmd.Flags().BoolVar(&u.again, "again", false, "also where this release was found bad before")
	cmd.Flags().BoolVar(&u.back, "back", false, "give up the release that runs")
	u.at.flags(cmd)
	cmd.AddCommand(a.allowCommand(), a.holdCommand(), a.updateStatusCommand(), a.updateNow(false), a.updateNow(true),
		a.directorCommand(), a.pushCommand(), a.mirrorCommand(), a.bundleCommand())
	return cmd
}

// update gives a release to one node after the other, and stops at the first
// that does not keep it.
func (a *app) update(ctx context.Context, r deploy.Release, words []string, u updating) error {
	_, nodes, clients, err := a.reachNodes(ctx, words, u.at)
	if err != nil {
		return err
	}
	return a.inTurn(nodes, func(k int) error {
		told := func(text string) { fmt.Fprintf(a.errs, "%s: %s\n", nodes[k].Name, text) }
		if u.back {
			return clients[k].Back(ctx, told)
		}
		bar := a.bar(ctx, "sending to "+nodes[k].Name)
		defer bar.end()
		return clients[k].Update(ctx, r, deploy.Updating{Again: u.again, Told: told, Sent: func(done, total int64) {
			if bar.at(done, total); done == total {
				bar.end()
			}
		}})
	})
}
