package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/tufrepo"
)

// director opens the provider's director.
func (a *app) director() (*director.Director, error) {
	i, v, err := a.unlock()
	if err != nil {
		return nil, err
	}
	op, err := a.operator(i)
	if err != nil {
		return nil, err
	}
	return director.Open(i, v, op, a.now)
}

// seeDirector opens it to look at, for which nobody has to be let in.
func (a *app) seeDirector() (*provider.Instance, *director.Director, error) {
	i, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	d, err := director.Open(i, nil, nil, a.now)
	return i, d, err
}

func (a *app) directorCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "director", Short: "Who says what the nodes may run",
		Long: `The director is a small repository in updates/, signed by admins of the provider: it
says which of the vendor's releases the nodes may run. It can hold a release back; it
can make nobody run what the vendor has not signed, so one admin is enough. With more,
that many of them have to agree to each change.

What it says is good for a week, and is renewed every day:
  leap update director timestamp`,
	}, a.directorInit(), a.directorKey(), a.directorStatus(), a.directorSign(), a.directorAdmins(), a.directorOnline(), a.directorRenew(), a.directorTimestamp())
}

func (a *app) directorInit() *cobra.Command {
	var admins, vendor []string
	var root string
	var threshold int
	cmd := &cobra.Command{
		Use: "init", Short: "Begin, with the vendor whose releases you take", Args: args(cobra.NoArgs),
		Long: `Begin: make the keys and the repository in updates/. You are the only admin, unless
--admins names others, each of whom has run "leap update director key" before;
--threshold of them have to sign each change.

The vendor's root, a file root.json, is what everything stands on. Get it from the
vendor by a way that you trust, and compare its SHA-256 with what he says by voice.`,
		Example: "  leap update director init --vendor https://updates.vendor.example/ --vendor-root root.json\n  leap update director init --admins alice,bob,carol --threshold 2 --vendor … --vendor-root root.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			op, err := a.operator(i)
			if err != nil {
				return err
			}
			if err := director.Absent(i); err != nil { // Its vendor stays, too.
				return err
			}
			text, err := os.ReadFile(root)
			if err != nil {
				return err
			}
			if err := director.SetVendor(i, director.Vendor{Sources: vendor, Root: text}); err != nil {
				return err
			}
			if len(admins) == 0 {
				admins = []string{op.Name}
				if _, err := director.NewKey(i, op); err != nil && !errors.Is(err, tufrepo.ErrExists) {
					return err
				}
			}
			d, err := director.Init(i, v, op, admins, threshold, a.now)
			if err != nil {
				return err
			}
			o, err := d.Sign(cmd.Context(), "init")
			if err != nil {
				return err
			}
			return a.print(o, func() {
				a.tellOutcome(o)
				a.sayf("next: write into common.json how nodes update themselves (docs/operator.md, \"Which releases nodes may run\"), leap deploy, then leap update allow VERSION")
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&admins, "admins", nil, "`names` of the operators who sign (default: you)")
	f.IntVar(&threshold, "threshold", 1, "`number` of them who have to sign each change")
	f.StringSliceVar(&vendor, "vendor", nil, "`URLs` of the vendor's repository")
	f.StringVar(&root, "vendor-root", "", "`file` with the vendor's root, root.json")
	if err := cmd.MarkFlagRequired("vendor-root"); err != nil {
		panic(err) // There is such a flag.
	}
	return cmd
}

func (a *app) directorKey() *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Make your key as an admin of the director", Args: args(cobra.NoArgs),
		Long: `Make your key as an admin of the director. It is encrypted to you alone: nobody else
signs for you. It counts once "leap update director init --admins" or "leap update
director admins --add" names you.`,
		RunE: func(*cobra.Command, []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			op, err := a.operator(i)
			if err != nil {
				return err
			}
			k, err := director.NewKey(i, op)
			if err != nil {
				return err
			}
			return a.print(map[string]string{"name": k.Name, "id": k.ID()}, func() {
				a.sayf("updates/keys/%s.pub: %s\nnext: an admin runs leap update director admins --add %s", k.Name, k.ID(), k.Name)
			})
		},
	}
}

// tellOutcome tells how far a change has come, and what is next.
func (a *app) tellOutcome(o *director.Outcome) {
	if o.Public {
		a.sayf("%s: public (%s)", o.Event, o.Why)
		return
	}
	a.sayf("%s: signed, and not enough yet (%s)", o.Event, o.Why)
	a.sayf("next: one of %s, with this directory as it is now: leap update director sign %s", strings.Join(o.Missing(), ", "), o.Event)
}

func (a *app) directorStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show who signs, until when it is good, and what waits", Args: args(cobra.NoArgs),
		Long: `Show who signs, until when what was signed is good, what waits for signatures, and
what comes next. The exit status is 2 if something wants to be renewed.`,
		RunE: func(*cobra.Command, []string) error {
			_, d, err := a.seeDirector()
			if err != nil {
				return err
			}
			roles, err := d.Roles()
			if err != nil {
				return err
			}
			waiting, err := d.Waiting()
			if err != nil {
				return err
			}
			out := struct {
				Roles   []tufrepo.RoleStatus `json:"roles"`
				Waiting []director.Outcome   `json:"waiting"`
			}{roles, waiting}
			err = a.print(out, func() {
				rows := [][]string{}
				for _, r := range roles {
					rows = append(rows, []string{r.Role, "until " + r.Expires.UTC().Format("2006-01-02 15:04"), strings.Join(r.Keys, ", ")})
				}
				a.table(rows)
				for _, o := range waiting {
					a.tellOutcome(&o)
				}
			})
			a.dueRoles(roles)
			return err
		},
	}
}

// dueRoles warns of roles that want to be renewed, with how.
func (a *app) dueRoles(roles []tufrepo.RoleStatus) {
	for _, r := range roles {
		if !r.Due {
			continue
		}
		a.status = exitWarnings
		how := "leap update director renew"
		if r.Role == "timestamp" || r.Role == "snapshot" {
			how = "leap update director timestamp, every day"
		}
		was := "ends"
		if a.now().After(r.Expires) {
			was = "has ended, and no node updates itself: it ended"
		}
		a.warnf("%s %s on %s: %s", r.Role, was, r.Expires.UTC().Format(time.DateTime), how)
	}
}

func (a *app) directorRenew() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Have what ends soon last longer", Args: args(cobra.NoArgs),
		Long: `Have the roles that end soon last longer: root two months before its end, the others
one. The admins sign that as any change. Nothing else changes.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			o, err := d.Renew(cmd.Context())
			if err != nil {
				return err
			}
			if o == nil {
				return a.print(map[string]bool{"due": false}, func() { a.sayf("nothing ends soon") })
			}
			return a.print(o, func() { a.tellOutcome(o) })
		},
	}
}

func (a *app) directorTimestamp() *cobra.Command {
	var push bool
	cmd := &cobra.Command{
		Use: "timestamp", Short: "Say that what is public is still the newest: every day", Args: args(cobra.NoArgs),
		Long: `Say that what is public is still the newest, and, with --push, give that to the nodes
that keep copies. A job for every day (cron, a systemd timer) of an operator with the
role deploy: what was said is good for a week, so that a job that fails is seen before nodes stop
updating themselves. Nothing else stops then. The exit status is 2 if admins have to
renew something, or a node was not reached.`,
		Example: "  0 6 * * *  cd /srv/demo && leap update director timestamp --push",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.director()
			if err != nil {
				return err
			}
			if err := d.Timestamp(cmd.Context()); err != nil {
				return err
			}
			roles, err := d.Roles()
			if err != nil {
				return err
			}
			err = a.print(roles[0], func() {
				a.sayf("good until %s", roles[0].Expires.UTC().Format(time.DateTime))
			})
			a.dueRoles(roles)
			if err == nil && push {
				err = a.pushed(cmd.Context())
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&push, "push", false, "give it to the nodes that keep copies, too")
	return cmd
}
