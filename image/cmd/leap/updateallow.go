package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/deploy"
	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// allowing is what nodes are allowed.
type allowing struct {
	from, source string
	push         bool
}

func (a *app) allowCommand() *cobra.Command {
	var w allowing
	cmd := &cobra.Command{
		Use: "allow VERSION|FILE [FILTER]", Short: "Let nodes run a release of the vendor", Args: args(cobra.MinimumNArgs(1)),
		Long: `Let nodes run a release that the vendor has signed: VERSION, or the one in FILE, a .efi
that must be the vendor's. It is looked for in the vendor's repository, verified, and
listed with the same hash; nodes take it when their turn has come. With FILTER only the
nodes that it chooses now may, and none that is added later.

--source names a copy of the vendor's repository or a bundle, where there is no network.`,
		Example: "  leap update allow 1.2.0\n  leap update allow 1.2.0 canary --from 2026-12-01",
		RunE: func(cmd *cobra.Command, words []string) error {
			i, d, err := a.withDirector()
			if err != nil {
				return err
			}
			p, err := a.permission(i, words[1:], w.from)
			if err != nil {
				return err
			}
			releases, err := a.signed(cmd.Context(), i, w.source)
			if err != nil {
				return err
			}
			chosen, err := choose(releases, words[0])
			if err != nil {
				return err
			}
			o, err := d.Allow(cmd.Context(), chosen, p)
			if err != nil {
				return err
			}
			return a.changed(cmd.Context(), o, w.push)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.from, "from", "", "`time` from when on, 2026-12-01 or 2026-12-01T06:00 (UTC)")
	f.StringVar(&w.source, "source", "", "`directory` or bundle with the vendor's repository (default: his URLs)")
	f.BoolVar(&w.push, "push", true, "give it to the nodes that keep copies")
	return cmd
}

func (a *app) holdCommand() *cobra.Command {
	var push bool
	cmd := &cobra.Command{
		Use: "hold VERSION", Short: "Have nodes not take a release any more", Args: args(cobra.ExactArgs(1)),
		Long: `Have nodes not take a release any more that was allowed. It stops new starts within
the time that nodes wait between two looks, and undoes nothing: nodes that run it go on
with it ("leap update --back NODE" takes one back). The exit status is 2 if a node that
keeps copies was not reached: see to it, others may ask that one.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			o, err := d.Hold(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.changed(cmd.Context(), o, push)
		},
	}
	cmd.Flags().BoolVar(&push, "push", true, "give it to the nodes that keep copies")
	return cmd
}

// withDirector opens the instance and its director.
func (a *app) withDirector() (*provider.Instance, *director.Director, error) {
	d, err := a.director()
	if err != nil {
		return nil, nil, err
	}
	i, err := a.open()
	return i, d, err
}

// changed tells how far a change is, and brings it to the nodes if it is public.
func (a *app) changed(ctx context.Context, o *director.Outcome, push bool) error {
	if err := a.print(o, func() { a.tellOutcome(o) }); err != nil || !o.Public || !push {
		return err
	}
	return a.pushed(ctx)
}

// permission is for the nodes that words choose.
func (a *app) permission(i *provider.Instance, words []string, from string) (p target.Permission, err error) {
	if from != "" {
		for _, form := range []string{time.DateOnly, "2006-01-02T15:04", time.RFC3339} {
			if p.From, err = time.Parse(form, from); err == nil {
				break
			}
		}
		if err != nil {
			return p, fmt.Errorf("--from %q is no time like 2026-12-01 or 2026-12-01T06:00", from)
		}
	}
	if len(words) == 0 && a.env == "" {
		return p, nil
	}
	nodes, err := a.nodes(i, words, false)
	for _, n := range nodes {
		p.Nodes = append(p.Nodes, n.Name)
	}
	return p, err
}

// signed are the vendor's for nodes, the newest last.
func (a *app) signed(ctx context.Context, i *provider.Instance, source string) ([]*tufclient.Target, error) {
	v, err := director.ReadVendor(i)
	if err != nil {
		return nil, err
	}
	dir, done, err := unpacked(ctx, source)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := v.Releases(ctx, i, dir, a.now)
	if err != nil {
		return nil, fmt.Errorf("the vendor's repository: %w", err)
	}
	return list, nil
}

// choose returns the releases of a version, or the one that a file is.
func choose(all []*tufclient.Target, word string) (chosen []*tufclient.Target, err error) {
	version, sum := word, ""
	if target.CheckVersion(word) != nil {
		r, err := deploy.OpenRelease(word)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%q is neither a version, like 1.2.0, nor a file: %w", word, err)
		}
		if err != nil {
			return nil, err
		}
		version, sum = r.Version, r.SHA256()
	}
	var versions []string
	for _, t := range all {
		versions = append(versions, t.Description.Version)
		if t.Description.Version == version && (sum == "" || sum == fmt.Sprintf("%x", t.SHA256)) {
			chosen = append(chosen, t)
		}
	}
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case slices.Contains(versions, version):
		return nil, fmt.Errorf("%s is not what the vendor has signed as release %s: its SHA-256 is %s; fetch the vendor's, or allow it by its version", word, version, sum)
	}
	return nil, fmt.Errorf("the vendor has signed no release %s for nodes; there are %s", version, or(strings.Join(slices.Compact(versions), ", "), "none"))
}

// unpacked returns a directory with the vendor's repository: source, what is in it
// if it is a bundle, or "" if it is empty. The caller calls done.
func unpacked(ctx context.Context, source string) (dir string, done func(), err error) {
	done = func() {}
	if source == "" {
		return "", done, nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return "", done, err
	}
	if info.IsDir() {
		return within(source), done, nil
	}
	trees, done, err := unbundle(ctx, source)
	if err != nil {
		return "", done, err
	}
	return within(trees), done, nil
}
