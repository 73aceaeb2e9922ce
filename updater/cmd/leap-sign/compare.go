package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) compareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare EVENT DIR", Short: "Compare a build of your own with what an event brings", Args: args(cobra.ExactArgs(2)),
		Long: `Compare a build of your own with what an event brings, byte by byte: DIR holds the
files at the paths of the targets, like client/linux-amd64/1.2.0/leapc. Whoever signs
for release does so only if all are the same; the status is 1 if they are not. An
image of a node that was signed for Secure Boot differs by that signature.`,
		Example: "  leap-sign compare /media/stick/1.2.0 build && leap-sign sign /media/stick/1.2.0 --key alice.key.age --root trusted.root.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.find(args[0])
			if err != nil {
				return err
			}
			at, end := a.progress(cmd.Context())
			c, err := e.Compare(cmd.Context(), args[1], at)
			end()
			if err != nil {
				return err
			}
			err = a.print(c, func() {
				for _, p := range c.Same {
					a.sayf("same     %s", p)
				}
				for _, p := range c.Differ {
					a.sayf("differs  %s", p)
				}
				for _, p := range c.Absent {
					a.sayf("absent   %s", p)
				}
			})
			if err == nil && len(c.Differ)+len(c.Absent) > 0 {
				err = fmt.Errorf("%d of %d files are what you have built: do not sign, and tell the others", len(c.Same), len(e.Files))
			}
			return err
		},
	}
}
