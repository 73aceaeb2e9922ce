package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/control"
	"leap.example/client/update"
)

// updateAnswer is what "update status" and "update check" print.
type updateAnswer struct {
	Schema  int           `json:"schema"`
	Version string        `json:"version"` // Of this program.
	Current string        `json:"current"` // That is started.
	Prefix  update.Prefix `json:"prefix"`
	Mine    bool          `json:"mine"` // It is this user's to update.
	Sources []string      `json:"sources"`
	update.Looked
	Stale bool          `json:"stale"` // The metadata have expired: nothing is installed.
	Trial *update.Trial `json:"trial,omitempty"`
	Bad   []update.Bad  `json:"bad,omitempty"`
}

// updateState reads what is known, and asks nobody.
func (a *app) updateState(p update.Prefix) (updateAnswer, error) {
	current, err := p.Current()
	if err != nil {
		return updateAnswer{}, err
	}
	v, err := vendorAt(p)
	if err != nil {
		return updateAnswer{}, err
	}
	s, err := update.ReadState(p.Dir())
	if err != nil {
		return updateAnswer{}, err
	}
	r := updateAnswer{
		Schema: control.Schema, Version: ownVersion(), Current: current, Prefix: p, Mine: p.Mine(), Sources: v.Sources,
		Looked: s.Looked, Trial: s.Trial, Bad: s.Bad,
	}
	if !r.Mine { // The user has looked for himself, too.
		mine, err := update.ReadState(a.knownIn(p))
		if err != nil {
			return updateAnswer{}, err
		}
		if mine.Looked.At.After(r.At) {
			r.Looked = mine.Looked
		}
	}
	r.Stale = !r.Expires.IsZero() && time.Now().After(r.Expires)
	return r, nil
}

func (a *app) updateStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say what runs, what is there to be had, and whose word that is",
		Long: `Say what runs, what is there to be had, and whose word that is. Nobody is asked;
"leapc update check" does.

  signed    the roles of the vendor's repository that vouch for the release
  looked    when the repository was read last, and until when that counts: what has
            expired stops updates, and nothing else
  turn      when this computer's wave comes
  decides   what has to run for a version on trial to stay`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			p, err := ownPrefix()
			if err != nil {
				return err
			}
			s, err := a.updateState(p)
			if err != nil {
				return err
			}
			return a.print(s, func() { a.printUpdate(s) })
		},
	}
}

func (a *app) printUpdate(s updateAnswer) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("version", "%s", s.Version)
	if s.Current != s.Version {
		row("current", "%s: what is started from now on", s.Current)
	}
	row("prefix", "%s", s.Prefix)
	switch {
	case len(s.Sources) == 0:
		row("vendor", "none: this build takes no updates")
	case s.At.IsZero():
		row("looked", "never")
	default:
		row("source", "%s", s.Source)
		row("looked", "%s, good until %s, root %d", when(s.At), when(s.Expires), s.Root)
	}
	if s.Stale {
		row("stale", "since %s: nothing is installed until a source has newer metadata", when(s.Expires))
	}
	if o := s.Offer; o != nil {
		row("available", "%s, %.1f MB", o.Version, float64(o.Length)/1e6)
		row("signed", "%s", strings.Join(o.Signers, ", "))
		turn := "now"
		if o.Due.After(time.Now()) {
			turn = when(o.Due)
		}
		row("turn", "%s", turn)
	}
	if s.Held != "" {
		row("held", "%s", s.Held)
	}
	if t := s.Trial; t != nil {
		row("on trial", "%s, after %s, since %s", t.To, t.From, when(t.Begun))
		if len(t.Parts) > 0 {
			row("decides", "%s", strings.Join(t.Parts, ", "))
		}
	}
	for _, b := range s.Bad {
		row("given up", "%s, %s: %s", b.Version, when(b.At), b.Why)
	}
	row("next", "%s", s.next())
	w.Flush() // The terminal is gone: nowhere to report to.
}

// next is what there is to do.
func (s updateAnswer) next() string {
	switch {
	case len(s.Sources) == 0:
		return "leapc update install DIRECTORY --root FILE --source URL, if you know a vendor"
	case s.At.IsZero() || s.Stale:
		return "leapc update check"
	case s.Trial != nil && !s.Mine:
		return fmt.Sprintf("leapc update apply, which has root's unit decide the trial, or sudo %s update back", s.Prefix.Start())
	case s.Trial != nil && slices.Contains(s.Trial.Parts, (*daemonPart)(nil).String()):
		return "leapc daemon, which decides the trial, or leapc update back"
	case s.Trial != nil:
		return "leapc update apply, which decides the trial, or leapc update back"
	case s.Offer == nil:
		return "nothing: this is the newest release for this computer"
	case s.Offer.Bad != "":
		return "wait for a newer release, or leapc update apply --retry"
	case s.Offer.Due.After(time.Now()):
		return "wait, or leapc update apply --now"
	}
	return "leapc update apply"
}

func when(t time.Time) string { return t.Local().Format(time.DateTime) }

func (a *app) updateLog() *cobra.Command {
	return &cobra.Command{
		Use:   "log",
		Short: "Say what was installed and what was given up, the newest last",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			p, err := ownPrefix()
			if err != nil {
				return err
			}
			s, err := update.ReadState(p.Dir())
			if err != nil {
				return err
			}
			answer := struct {
				Schema int            `json:"schema"`
				Log    []update.Event `json:"log"`
			}{control.Schema, append([]update.Event{}, s.Log...)}
			return a.print(answer, func() {
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				for _, e := range s.Log {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", when(e.At), e.What, e.Version, strings.ReplaceAll(e.Detail, "\n", "; "))
				}
				w.Flush() // The terminal is gone: nowhere to report to.
			})
		},
	}
}

// updateRow is the row of "leapc status" about updates, if there is something to
// say.
func updateRow(s control.UpdateStatus, row func(name string, v any)) {
	switch {
	case s.Current != "":
		row("update", s.Current+" is installed, and this daemon is "+s.Version+": leapc update apply, or start the daemon again")
	case s.Available != "" && s.Due == nil:
		row("update", s.Available+" is there: leapc update apply")
	}
}
