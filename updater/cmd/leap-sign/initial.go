package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

func (a *app) initCommand() *cobra.Command {
	var name string
	var keys, thresholds, days []string
	cmd := &cobra.Command{
		Use: "init DIR", Short: "Make a repository, to be signed by its roots", Args: args(cobra.ExactArgs(1)),
		Long: `Make a repository, and its first event, "init", which the keys must sign. The roles:

  root       says which keys count. Offline, 3 of 5 people.
  targets    says who may vouch for what. Offline, 2 of 3.
  release    vouches for the bytes of clients and nodes. 2 of 3, each of whom has
             built them himself and got the same.
  rollout    says when a release goes to how many. 1 of 2.
  snapshot   one online key, which signs nothing else: it can show old things as
  timestamp  new for a week, and change nothing.

Thresholds of those that name bytes are 2 at least. A key may have several roles,
the online key only its two.`,
		Example: `  leap-sign init repo --name vendor.example \
    --key root=alice.pub,bob.pub,carol.pub,dave.pub,eve.pub \
    --key targets=alice.pub,bob.pub,carol.pub --key release=x.pub,y.pub,z.pub \
    --key rollout=r.pub,s.pub --key snapshot=online.pub --key timestamp=online.pub`,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := policy(name, keys, thresholds, days)
			if err != nil {
				return err
			}
			e, err := tufrepo.Init(args[0], p, a.now())
			if err != nil {
				return err
			}
			return a.made(args[0], e)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "`name` of the repository: \"vendor.example\"")
	f.StringArrayVar(&keys, "key", nil, "`ROLE=FILE,…`: public keys of a role; may be repeated")
	f.StringArrayVar(&thresholds, "threshold", nil, "`ROLE=N`: how many of its keys must sign")
	f.StringArrayVar(&days, "days", nil, "`ROLE=N`: how long a version of it is good")
	return cmd
}

// policy puts flags over the roles that a repository has.
func policy(name string, keys, thresholds, days []string) (p tufrepo.Policy, err error) {
	p = tufrepo.Policy{Name: name, Roles: tufrepo.VendorRoles()}
	find := func(role string) (*tufrepo.RolePolicy, error) {
		i := slices.IndexFunc(p.Roles, func(r tufrepo.RolePolicy) bool { return r.Role == role })
		if i < 0 {
			return nil, fmt.Errorf("there is no role %q: root, targets, snapshot, timestamp, release and rollout", role)
		}
		return &p.Roles[i], nil
	}
	each := func(flag string, list []string, set func(r *tufrepo.RolePolicy, value string) error) error {
		pairs, err := assignments(flag, list)
		if err != nil {
			return err
		}
		for _, pair := range pairs {
			r, err := find(pair[0])
			if err != nil {
				return err
			}
			if err := set(r, pair[1]); err != nil {
				return err
			}
		}
		return nil
	}
	number := func(where func(r *tufrepo.RolePolicy) *int) func(*tufrepo.RolePolicy, string) error {
		return func(r *tufrepo.RolePolicy, value string) (err error) {
			*where(r), err = strconv.Atoi(value)
			return err
		}
	}
	if err := each("key", keys, func(r *tufrepo.RolePolicy, value string) error {
		for file := range strings.SplitSeq(value, ",") {
			k, err := readPublic(file)
			if err != nil {
				return err
			}
			r.Keys = append(r.Keys, k)
		}
		return nil
	}); err != nil {
		return p, err
	}
	if err := each("threshold", thresholds, number(func(r *tufrepo.RolePolicy) *int { return &r.Threshold })); err != nil {
		return p, err
	}
	return p, each("days", days, number(func(r *tufrepo.RolePolicy) *int { return &r.Days }))
}

// readPublic reads a public key; one in PEM is called as its file.
func readPublic(file string) (*tufrepo.PublicKey, error) {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return tufrepo.ReadPublicKey(strings.ToLower(name), file)
}

func (a *app) rotateCommand() *cobra.Command {
	var c tufrepo.KeyChange
	var add []string
	var why string
	cmd := &cobra.Command{
		Use: "rotate EVENT ROLE…", Short: "Change who signs a role: an event", Args: args(cobra.MinimumNArgs(2)),
		Long: `Make an event that gives a role, or several, other keys or another threshold. Root
signs it, by its old and by its new keys, or targets if it delegates to the role; and
the new keys sign the role anew. A key that is lost or stolen is removed so: without
it enough must be left to sign. If more than that are lost in root, clients can be
given a new root only by hand: keep five, in five places.

Keys are removed by name or by the first 8 digits of their ID.`,
		Example: "  leap-sign rotate lost-carol root --remove carol --add frank.pub\n  leap-sign rotate new-server snapshot timestamp --remove online --add online2.pub",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			c.Roles = args[1:]
			for _, file := range add {
				k, err := readPublic(file)
				if err != nil {
					return err
				}
				c.Add = append(c.Add, k)
			}
			if len(c.Add)+len(c.Remove)+c.Threshold == 0 {
				return fmt.Errorf("nothing changes: --add, --remove or --threshold")
			}
			if why == "" {
				why = "other keys of " + strings.Join(c.Roles, ", ")
			}
			e, err := r.Rotate(args[0], why, c, a.now())
			if err != nil {
				return err
			}
			return a.made(a.dir, e)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&add, "add", nil, "`file` of a public key; may be repeated")
	f.StringArrayVar(&c.Remove, "remove", nil, "`key` to remove; may be repeated")
	f.IntVar(&c.Threshold, "threshold", 0, "`number` of keys that must sign (default: as it was)")
	f.StringVar(&why, "why", "", "`reason`, which signers are shown")
	return cmd
}
