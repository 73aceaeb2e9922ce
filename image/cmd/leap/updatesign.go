package main

import (
	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

func (a *app) directorSign() *cobra.Command {
	var drop, push bool
	cmd := &cobra.Command{
		Use: "sign EVENT", Short: "See a change that waits, and sign it", Args: args(cobra.ExactArgs(1)),
		Long: `See what a change does, and sign it with your key. When enough admins have signed, it
is public, and nodes are told. With --drop it is given up instead.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			if drop {
				if err := d.Drop(args[0]); err != nil {
					return err
				}
				return a.print(map[string]string{"dropped": args[0]}, func() { a.sayf("%s is given up", args[0]) })
			}
			e, err := d.Event(args[0])
			if err != nil {
				return err
			}
			if !a.json {
				if err := a.showEvent(e); err != nil {
					return err
				}
			}
			if err := a.confirm("Sign this?"); err != nil {
				return err
			}
			o, err := d.Sign(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.changed(cmd.Context(), o, push)
		},
	}
	cmd.Flags().BoolVar(&drop, "drop", false, "give the change up")
	cmd.Flags().BoolVar(&push, "push", true, "give it to the nodes that keep copies")
	return cmd
}

// showEvent shows what a signer vouches for.
func (a *app) showEvent(e *tufrepo.Event) error {
	a.sayf("%s: %s", e.Name, e.Why)
	for _, role := range e.Roles {
		changes, err := e.Changes(role)
		if err != nil {
			return err
		}
		a.sayf("%s, version %d", role, e.Version(role))
		for _, c := range changes {
			if c.Old != "" {
				a.sayf("  - %s: %s", c.Item, c.Old)
			}
			if c.New != "" {
				a.sayf("  + %s: %s", c.Item, c.New)
			}
		}
		a.sayf("  what is signed has the SHA-256 %s", e.Digest(role))
	}
	return nil
}

func (a *app) directorAdmins() *cobra.Command {
	var add, remove []string
	var threshold int
	cmd := &cobra.Command{
		Use: "admins", Short: "Change who signs", Args: args(cobra.NoArgs),
		Long: `Change who signs, and how many have to. As many as have to sign now, of those who sign
now, have to agree; and so do those who sign from then on. One who goes is removed here
and by "leap user rm".`,
		Example: "  leap update director admins --add bob --threshold 2\n  leap update director admins --remove bob --threshold 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			o, err := d.Rotate(cmd.Context(), add, remove, threshold)
			if err != nil {
				return err
			}
			return a.print(o, func() { a.tellOutcome(o) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&add, "add", nil, "`names` of operators")
	f.StringSliceVar(&remove, "remove", nil, "`names` of operators")
	f.IntVar(&threshold, "threshold", 0, "`number` of admins who have to sign (default: as before)")
	return cmd
}

func (a *app) directorOnline() *cobra.Command {
	return &cobra.Command{
		Use: "online", Short: "Replace the key of the daily job", Args: args(cobra.NoArgs),
		Long: `Replace the key of the daily job, which all operators with the role deploy can open:
after one of them has gone. The admins sign that as any change; until enough have, the
job goes on with the key before.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			o, err := d.Replace(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(o, func() { a.tellOutcome(o) })
		},
	}
}
