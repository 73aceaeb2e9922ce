package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

// eventStatus is an event, for programs.
type eventStatus struct {
	Name  string          `json:"name"`
	Why   string          `json:"why"`
	Roles []tufrepo.Tally `json:"roles"`
	Done  bool            `json:"done"` // It can be published.
	// By which files in place of the releases that it brings these can travel.
	Travels []tufrepo.Travel `json:"travels,omitempty"`
	Error   string           `json:"error,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [EVENT]", Short: "Show what is public, who has signed, and what comes next", Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: a.eventNames,
		Long: `Show the roles as they are public, the events that wait with who has signed and who
has not, and what comes next. With EVENT, a directory or a name, only that event.
The exit status is 2 if a role wants to be renewed.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				e, err := a.find(args[0])
				if err != nil {
					return err
				}
				s, err := eventState(e)
				if err != nil {
					return err
				}
				return a.print(s, func() { a.showEvent(s, "") })
			}
			return a.repoStatus()
		},
	}
}

func eventState(e *tufrepo.Event) (s eventStatus, err error) {
	s = eventStatus{Name: e.Name, Why: e.Why, Done: true, Travels: e.Travels()}
	s.Roles, err = e.Tally()
	for _, t := range s.Roles {
		s.Done = s.Done && t.Done()
	}
	return s, err
}

func (a *app) repoStatus() error {
	r, err := a.open()
	if err != nil {
		return err
	}
	roles, err := r.Status(a.now())
	if err != nil {
		return err
	}
	names, err := r.Events()
	if err != nil {
		return err
	}
	events := []eventStatus{}
	for _, name := range names {
		e, err := tufrepo.ReadEvent(r.EventDir(name))
		if err != nil { // The others are shown all the same.
			events = append(events, eventStatus{Name: name, Error: err.Error(), Roles: []tufrepo.Tally{}})
			a.status = exitWarnings
			continue
		}
		s, err := eventState(e)
		if err != nil {
			return err
		}
		events = append(events, s)
	}
	out := struct {
		Name   string               `json:"name"`
		Roles  []tufrepo.RoleStatus `json:"roles"`
		Events []eventStatus        `json:"events"`
	}{r.Name(), roles, events}
	err = a.print(out, func() {
		a.showRoles(r, roles)
		for _, s := range events {
			a.showEvent(s, a.inRepo())
		}
		if len(events) == 0 && roles != nil {
			a.sayf("no event waits; next: leap-sign%s event new NAME --add PATH=FILE", a.inRepo())
		}
	})
	a.due(roles)
	return err
}

// inRepo is what a command line needs to find the repository.
func (a *app) inRepo() string {
	if a.dir == "." {
		return ""
	}
	return " -C " + a.dir
}

func (a *app) showRoles(r *tufrepo.Repo, roles []tufrepo.RoleStatus) {
	if roles == nil {
		a.sayf("%s: nothing is published yet", r.Name())
		return
	}
	a.sayf("%s: %s", r.Name(), r.Public())
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range roles {
		fmt.Fprintf(w, "  %s\t%d\tuntil %s\t%d of %d: %s\t%s\n", s.Role, s.Version, s.Expires.UTC().Format("2006-01-02 15:04"), s.Threshold, len(s.Keys), strings.Join(s.Keys, ", "), strings.Join(s.Paths, " "))
	}
	_ = w.Flush() // The next write would fail too.
}

// due warns of roles that want to be renewed.
func (a *app) due(roles []tufrepo.RoleStatus) {
	var people []string
	for _, s := range roles {
		switch {
		case !s.Due:
		case s.Role == "timestamp" || s.Role == "snapshot":
			a.warnf("%s ends on %s: leap-sign%s timestamp --key FILE", s.Role, s.Expires.UTC().Format(time.DateTime), a.inRepo())
		default:
			people = append(people, s.Role)
			a.warnf("%s ends on %s", s.Role, s.Expires.UTC().Format(time.DateTime))
		}
	}
	if len(people) > 0 {
		fmt.Fprintf(a.errs, "  leap-sign%s event renew NAME %s\n", a.inRepo(), strings.Join(people, " "))
	}
}

func (a *app) showEvent(s eventStatus, where string) {
	a.sayf("event %s: %q", s.Name, s.Why)
	if s.Error != "" {
		a.sayf("  cannot be read: %s", s.Error)
		return
	}
	for _, t := range s.Roles {
		for _, g := range t.Groups {
			missing := ""
			if g.Have < g.Want {
				missing = "; can still sign: " + strings.Join(g.Missing, ", ")
			}
			a.sayf("  %s %d: %d of %d that %s demands%s", t.Role, t.Version, g.Have, g.Want, g.By, missing)
		}
		for _, text := range t.Refused {
			a.sayf("    does not count: %s", text)
		}
	}
	if packed := packedOf(s.Travels); len(s.Travels) > 0 {
		a.sayf("  it brings %d packed releases and %d deltas: leap-sign%s event show %s", packed, len(s.Travels)-packed, where, s.Name)
	}
	if s.Done {
		a.sayf("  next: leap-sign%s publish %s --key FILE (the online key)", where, s.Name)
	} else {
		a.sayf("  next: signatures into %s", filepath.Join("events", s.Name, "signatures"))
	}
}

func packedOf(travels []tufrepo.Travel) (n int) {
	for _, t := range travels {
		if t.From == "" {
			n++
		}
	}
	return n
}

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "publish EVENT", Short: "Make an event public", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.eventNames,
		Long: `Make an event public that has its signatures: everything is verified as a client
would, the files are put into place, snapshot and timestamp are signed with the online
key. Clients see all of it or nothing. After a crash, do the same again. The directory
public is what to serve, or to copy to where it is served: timestamp.json last.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			s, err := a.signer(cmd.Context())
			if err != nil {
				return err
			}
			at, end := a.progress(cmd.Context())
			err = r.Publish(cmd.Context(), args[0], s, a.now(), at)
			end()
			if err != nil {
				return err
			}
			return a.print(map[string]string{"published": args[0], "public": r.Public()}, func() {
				a.sayf("%s is public in %s\nnext: leap-sign verify %s --root FILE, then copy it to where it is served, timestamp.json last", args[0], r.Public(), r.Public())
			})
		},
	}
	a.keys.add(cmd)
	return cmd
}

func (a *app) timestampCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "timestamp", Short: "Tell clients that what is public is still the newest: every day", Args: args(cobra.NoArgs),
		Long: `Tell clients that what is public is still the newest: a job for every day. A timestamp
is good for a week, so that a job that fails is seen before clients stop updating; the
snapshot is renewed with it when it has a week left. The exit status is 2 if a role
wants its signers.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			s, err := a.signer(cmd.Context())
			if err != nil {
				return err
			}
			if err := r.Timestamp(cmd.Context(), s, a.now()); err != nil {
				return err
			}
			roles, err := r.Status(a.now())
			if err != nil {
				return err
			}
			err = a.print(roles[0], func() {
				a.sayf("timestamp %d is good until %s", roles[0].Version, roles[0].Expires.UTC().Format(time.DateTime))
			})
			a.due(roles)
			return err
		},
	}
	a.keys.add(cmd)
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	var anchor string
	var partial bool
	cmd := &cobra.Command{
		Use: "verify [DIR]", Short: "Judge a public tree as a client does", Args: args(cobra.MaximumNArgs(1)),
		Long: `Judge a public tree, a copy or a mirror of it, as a client does: every root from the
first, thresholds, versions, ends, and the content of every target. DIR is public of
the repository if it is not given. --root names a root that you trust; without it
nothing is proved of who made the tree. With --partial targets may be missing, as in a
mirror of the newest releases, or in the tree of a director.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := filepath.Join(a.dir, "public")
			if len(args) == 1 {
				dir = args[0]
			}
			var root []byte
			if anchor != "" {
				var err error
				if root, err = os.ReadFile(anchor); err != nil {
					return err
				}
			}
			at, end := a.progress(cmd.Context())
			report, err := tufrepo.Verify(cmd.Context(), dir, root, partial, a.now(), at)
			end()
			if err != nil {
				return err
			}
			if root == nil {
				a.warnf("no --root was given: whoever made this tree chose its root")
			}
			return a.print(report, func() {
				for _, s := range report.Roles {
					a.sayf("%s %d is good until %s", s.Role, s.Version, s.Expires.UTC().Format(time.DateTime))
				}
				a.sayf("%d targets are intact", len(report.Targets))
				if report.Plan != nil {
					a.sayf("the plan of releases is readable, it has %d", len(report.Plan.Rollouts))
				}
				if len(report.Absent) > 0 {
					a.sayf("%d are not there", len(report.Absent))
				}
			})
		},
	}
	cmd.Flags().StringVar(&anchor, "root", "", "`file` of root metadata that you trust")
	cmd.Flags().BoolVar(&partial, "partial", false, "targets may be missing")
	return cmd
}
