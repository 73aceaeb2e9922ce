package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/appliance/efi"
	"leap.example/updater/tufrepo"
)

func (a *app) compareCommand() *cobra.Command {
	var old string
	cmd := &cobra.Command{
		Use: "compare EVENT DIR", Short: "Compare a build of your own with what an event brings", Args: args(cobra.ExactArgs(2)),
		Long: `Compare a build of your own with what an event brings, byte by byte: DIR holds the
files at the paths of the targets, as "make release" makes them. Whoever signs for
release does so only if all are the same; the status is 1 if they are not.

  same      byte for byte
  signed    an image of a node that is the same but for its signature for Secure
            Boot, which only one can make; the event must have come with its files
  made      a packed release or a delta, made again of those, byte for byte
  unproved  a delta from a release that is not below DIR, nor below that of --old, like
            a copy of the public tree. It does no harm: clients check what comes out.
            Or what is said of a release beside which DIR has no manifest.json: for whom
            it is, from where one may come. Then the status is 2.
  inside    by which root a release takes the next one: built without one the status
            is 2; the root of another repository differs`,
		Example: `  make release RELEASE=1.2.0 TREE=build
  leap-sign compare /media/stick/1.2.0 build && leap-sign sign /media/stick/1.2.0 --key alice.key.age --root trusted.root.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.find(args[0])
			if err != nil {
				return err
			}
			at, end := a.progress(cmd.Context())
			c, err := e.Compare(cmd.Context(), tufrepo.Build{Dir: args[1], Old: old, Strip: efi.Strip}, at)
			end()
			if err != nil {
				return err
			}
			lists := []struct {
				word  string
				paths []string
			}{{"same", c.Same}, {"signed", c.Signed}, {"made", c.Made}, {"unproved", c.Unproved}, {"differs", c.Differ}, {"absent", c.Absent}}
			err = a.print(c, func() {
				for _, l := range lists {
					for _, p := range l.paths {
						a.sayf("%-8s %s", l.word, p)
					}
				}
				for _, p := range slices.Sorted(maps.Keys(c.Vendors)) {
					if c.Vendors[p] > 0 {
						a.sayf("inside   %s: root %d of this repository", p, c.Vendors[p])
					} else {
						a.sayf("inside   %s: no root", p)
					}
				}
				for _, p := range c.Undescribed {
					a.sayf("%-8s %s (what it says of itself)", "unproved", p)
				}
			})
			if err == nil && len(c.Differ)+len(c.Absent) > 0 {
				err = fmt.Errorf("%d of %d files are what you have built: do not sign, and tell the others", len(c.Same)+len(c.Signed)+len(c.Made), len(e.Files))
			}
			if err == nil && len(c.Unproved) > 0 {
				a.warnf("%d deltas were not made again: the releases are not here from which they lead", len(c.Unproved))
			}
			if loose := slices.DeleteFunc(slices.Sorted(maps.Keys(c.Vendors)), func(p string) bool { return c.Vendors[p] > 0 }); err == nil && len(loose) > 0 {
				a.warnf("no root is inside %s: such nodes take the bytes of the next release from whoever keeps them, such clients take none: \"make release\" with VENDOR_ROOT", strings.Join(loose, ", "))
			}
			if err == nil && len(c.Undescribed) > 0 {
				a.warnf("what %d releases say of themselves is not proved: no manifest.json was built beside them; \"make release\" does", len(c.Undescribed))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&old, "old", "", "`directory` with the releases before, whatever they are called (default DIR)")
	return cmd
}
