package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

func (a *app) eventCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "event", Short: "Changes that wait for signatures",
		Long: `Changes that wait for signatures. An event is a directory, events/NAME: copy it to the
signers, by any way; it is checked when it is read. What comes back are the files in
its directory signatures: copy them into the one here.`,
	}, a.eventNew(), a.eventRenew(), a.eventShow(), a.eventDrop())
}

// proposing is what an event is to change.
type proposing struct {
	add, custom, remove []string
	tree, why           string
	deltas              int
}

func (a *app) eventNew() *cobra.Command {
	var p proposing
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Propose to add or remove targets", Args: args(cobra.ExactArgs(1)),
		Long: `Propose to add targets, the files that clients can fetch, or to remove some. The
files are copied into the event and hashed while they are copied. With --tree, all that
"make release" has put into a directory is added, as far as it is not public yet.

A release is also added packed, and as deltas from the five public ones before it; each
signer can make the same files. A delta between two images of nodes takes up to a minute
and 600 MB of memory to make. With a release that is removed go its packed file and its
deltas.`,
		Example: `  leap-sign event new 1.2.0 --tree build
  leap-sign event new 1.2.0 --add client/linux-amd64/1.2.0/leapc=bin/leapc \
    --custom client/linux-amd64/1.2.0/leapc=leapc.json --remove client/linux-amd64/1.0.0/leapc`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.propose(cmd.Context(), args[0], p)
			if err != nil {
				return err
			}
			return a.made(a.dir, e)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&p.add, "add", nil, "`PATH=FILE`: a target and its content; may be repeated")
	f.StringArrayVar(&p.custom, "custom", nil, "`PATH=FILE`: a JSON object that the metadata carry for an added target")
	f.StringVar(&p.tree, "tree", "", "`directory` that has files at the paths of targets, and a manifest.json beside each release")
	f.StringArrayVar(&p.remove, "remove", nil, "`path` of a target; may be repeated")
	f.StringVar(&p.why, "why", "", "`reason`, which signers are shown")
	f.IntVar(&p.deltas, "deltas", tufrepo.Deltas, "from how many releases a new one gets a delta; `number`")
	return cmd
}

// propose makes an event.
func (a *app) propose(ctx context.Context, name string, p proposing) (*tufrepo.Event, error) {
	r, err := a.open()
	if err != nil {
		return nil, err
	}
	list, err := additions(p.add, p.custom)
	if err != nil {
		return nil, err
	}
	if p.tree != "" {
		more, err := tree(r, p.tree)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	lost, err := r.Companions(p.remove)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "leap-sign-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	at, end := a.progress(ctx)
	defer end()
	smaller, err := r.Smaller(ctx, list, p.deltas, scratch, at)
	if err != nil {
		return nil, err
	}
	return r.Change(ctx, name, p.why, slices.Concat(list, smaller), slices.Concat(p.remove, lost), a.now(), at)
}

// additions reads what shall be added.
func additions(add, custom []string) (list []tufrepo.Addition, err error) {
	files, err := assignments("add", add)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		list = append(list, tufrepo.Addition{Path: f[0], File: f[1]})
	}
	objects, err := assignments("custom", custom)
	if err != nil {
		return nil, err
	}
next:
	for _, o := range objects {
		for i := range list {
			if list[i].Path == o[0] {
				if list[i].Custom, err = os.ReadFile(o[1]); err != nil {
					return nil, err
				}
				continue next
			}
		}
		return nil, fmt.Errorf("--custom %s: no --add adds this path", o[0])
	}
	return list, nil
}

func (a *app) eventRenew() *cobra.Command {
	return &cobra.Command{
		Use: "renew NAME ROLE…", Short: "Propose that roles last longer", Args: args(cobra.MinimumNArgs(2)),
		Long: `Propose that roles last longer, and change nothing else. "leap-sign status" says which
are due: root 60 days before its end, targets and release 30, rollout 5. Snapshot and
timestamp are renewed by "leap-sign timestamp".`,
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			e, err := r.Renew(args[0], args[1:], a.now())
			if err != nil {
				return err
			}
			return a.made(a.dir, e)
		},
	}
}

// made tells of a new event and what comes next.
func (a *app) made(repo string, e *tufrepo.Event) error {
	return a.print(map[string]any{"event": e.Name, "dir": e.Dir, "roles": e.Roles}, func() {
		a.sayf("%s waits for signatures of %s.\nnext: copy %s to the signers; each does:\n  leap-sign sign DIR --key FILE\nand sends back signatures/*.json, which go to %s",
			e.Name, strings.Join(e.Roles, ", "), e.Dir, filepath.Join(e.Dir, "signatures"))
		if repo != "." {
			a.sayf("see who is missing: leap-sign -C %s status", repo)
		}
	})
}

// find reads an event by its directory, or by its name in the repository.
func (a *app) find(word string) (*tufrepo.Event, error) {
	if !strings.ContainsRune(word, filepath.Separator) {
		if r, err := tufrepo.Open(a.dir); err == nil {
			if _, err := os.Stat(r.EventDir(word)); err == nil {
				return tufrepo.ReadEvent(r.EventDir(word))
			}
		}
	}
	return tufrepo.ReadEvent(word)
}

func (a *app) eventShow() *cobra.Command {
	return &cobra.Command{
		Use: "show EVENT", Short: "Show what an event changes", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.eventNames,
		Long: `Show what an event changes, by its directory or its name: exactly what its signatures
are for. - is what is public, + what shall be.`,
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := a.find(args[0])
			if err != nil {
				return err
			}
			return a.show(e, e.Roles)
		},
	}
}

// shown is one role of an event, for programs.
type shown struct {
	Role    string           `json:"role"`
	Version int64            `json:"version"`
	SHA256  string           `json:"sha256"`
	Changes []tufrepo.Change `json:"changes"`
}

// show tells what is signed for roles.
func (a *app) show(e *tufrepo.Event, roles []string) error {
	list := []shown{}
	for _, role := range roles {
		changes, err := e.Changes(role)
		if err != nil {
			return err
		}
		list = append(list, shown{role, e.Version(role), e.Digest(role), changes})
	}
	return a.print(list, func() {
		a.sayf("event %s of %s: %q", e.Name, e.Made.Format("2006-01-02"), e.Why)
		for _, s := range list {
			a.sayf("\n%s, version %d", s.Role, s.Version)
			for _, c := range s.Changes {
				if c.Old != "" {
					a.sayf("  - %s: %s", c.Item, c.Old)
				}
				if c.New != "" {
					a.sayf("  + %s: %s", c.Item, c.New)
				}
			}
			a.sayf("  what is signed has the SHA-256 %s", s.SHA256)
		}
		a.travels(e)
	})
}

// travels tells how few bytes a release is for those who have another one.
func (a *app) travels(e *tufrepo.Event) {
	for i, t := range e.Travels() {
		if i == 0 {
			a.sayf("")
		}
		how := "packed"
		if t.From != "" {
			how = "from " + t.From
		}
		if t.Of == "" {
			a.sayf("of use to nobody: %s leads to no release that is known", t.Path)
			continue
		}
		a.sayf("%s, %s: %d of %d bytes", t.Of, how, t.Length, t.Full)
	}
}

func (a *app) eventDrop() *cobra.Command {
	return &cobra.Command{
		Use: "drop NAME", Short: "Give up an event", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.eventNames,
		Long: "Give up an event, with the files and signatures in it. What is public stays.",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			if err := a.confirm("Give up the event " + args[0] + "?"); err != nil {
				return err
			}
			if err := r.Drop(args[0]); err != nil {
				return err
			}
			return a.print(map[string]string{"dropped": args[0]}, func() { a.sayf("%s is gone", args[0]) })
		},
	}
}
