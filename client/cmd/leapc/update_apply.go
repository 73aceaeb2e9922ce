package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/client/update/oneshot"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// applyAnswer is what "update apply" prints.
type applyAnswer struct {
	Schema    int    `json:"schema"`
	Version   string `json:"version"`          // That is started from now on.
	Installed bool   `json:"installed"`        // Now; otherwise it was the newest already.
	Daemon    string `json:"daemon,omitempty"` // Its version, and the account's state there.
	State     string `json:"state,omitempty"`
}

func (a *app) updateApply() *cobra.Command {
	var how update.How
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Install the newest release, and go back if it does not work",
		Long: `Install the newest release, and go back if it does not work.

The program is fetched, verified and tried; then it takes the place of the old one,
and the daemon starts again with it; an account that was open is opened again, for which
mail programs wait a moment. If the daemon does not answer as the new version within 30 seconds,
the old one is put back and started, and the new one is not tried again: then "leapc
login" is next.

The VPN's kill switch stays: nothing leaves beside the tunnel meanwhile.

If the program belongs to root, you ask the unit of systemd that updates it; as
root, you do it yourself. The unit goes back by what it sees: its trial of the program,
and the VPN's helper. If then your daemon fails, you are told how root goes back.

Exit status 4: nothing was installed and nothing is wrong, the reason is printed.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := ownPrefix()
			if err != nil {
				return err
			}
			if p.Mine() {
				return a.applyMine(cmd.Context(), p, how)
			}
			if how != (update.How{}) {
				return usageError{errors.New("--now and --retry are for who owns the program: repeat it as root")}
			}
			return a.applyUnit(cmd.Context(), p)
		},
	}
	cmd.Flags().BoolVar(&how.Now, "now", false, "do not wait for this computer's turn")
	cmd.Flags().BoolVar(&how.Retry, "retry", false, "also a version that was given up")
	return cmd
}

func (a *app) updateBack() *cobra.Command {
	return &cobra.Command{
		Use:   "back",
		Short: "Return to the version before, and do not try this one again",
		Long: `Return to the version before, and do not try this one again until you say so with
"leapc update apply --retry". An update that does not work goes back by itself; this
is for what it cannot know.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := ownPrefix()
			if err != nil {
				return err
			}
			cfg, err := a.commandUpdates(p)
			if err != nil {
				return err
			}
			if cfg.Parts, err = a.parts(cmd.Context(), p); err != nil {
				return err
			}
			u, err := update.New(cfg)
			if err != nil {
				return err
			}
			err = u.Back(cmd.Context())
			back, ok := errors.AsType[*update.BackError](err)
			if !ok || back.Back != nil {
				return err
			}
			return a.done("%s is back", back.From)
		},
	}
}

// applyMine installs in a prefix of one's own.
func (a *app) applyMine(ctx context.Context, p update.Prefix, how update.How) error {
	cfg, err := a.commandUpdates(p)
	if err != nil {
		return err
	}
	parts, err := a.parts(ctx, p)
	if err != nil {
		return err
	}
	var end func()
	cfg.Parts = parts
	cfg.Progress, end = a.bar(ctx)
	u, err := update.New(cfg)
	if err != nil {
		return err
	}
	version, err := u.Apply(ctx, how)
	end()
	return a.applied(ctx, p, version, err)
}

// applyUnit has the unit of systemd do it, and then the daemon start again.
func (a *app) applyUnit(ctx context.Context, p update.Prefix) error {
	show, end := a.bar(ctx)
	l, err := oneshot.Ask(ctx, oneshot.Socket, func(l oneshot.Line) { show(l.Version, l.Done, l.Length) })
	end()
	if err != nil {
		return err
	}
	if l.Problem != "" {
		return errUnit{l.Problem, l.Well}
	}
	return a.applied(ctx, p, l.Version, nil)
}

// errUnit is why the unit installed nothing, and whether nothing is wrong.
type errUnit struct {
	why  string
	well bool
}

func (e errUnit) Error() string { return e.why }

// notInstalled reports whether nothing was installed and nothing is wrong.
func notInstalled(err error) bool {
	if unit, ok := errors.AsType[errUnit](err); ok {
		return unit.well
	}
	return errors.As(err, new(*update.WaitError)) || errors.Is(err, target.ErrHeld) || errors.Is(err, update.ErrBad) ||
		errors.Is(err, update.ErrSoon)
}

// applied says how it ended. A daemon of this user that is still another version
// starts again.
func (a *app) applied(ctx context.Context, p update.Prefix, version string, err error) error {
	nothing := errors.Is(err, tufclient.ErrNothing) && !errors.Is(err, target.ErrHeld)
	if err != nil && !nothing {
		return err
	}
	r := applyAnswer{Schema: control.Schema, Installed: version != ""}
	if r.Version, err = p.Current(); err != nil {
		return err
	}
	d := a.daemonPart(p)
	switch _, err := d.Version(ctx); {
	case errors.Is(err, update.ErrStopped):
	case err != nil:
		return afterwards(p, r.Version, fmt.Errorf("the daemon does not answer: %w", err))
	default:
		if err := update.Bring(ctx, []update.Part{d}, r.Version); err != nil {
			return afterwards(p, r.Version, err)
		}
		r.Daemon, r.State = r.Version, d.state
	}
	return a.print(r, func() {
		switch {
		case r.Installed && r.Daemon != "":
			fmt.Fprintf(a.out, "%s is installed, and the daemon runs it\n", r.Version)
			if r.State == control.StateLocked {
				fmt.Fprintln(a.out, "next: leapc login")
			}
		case r.Installed:
			fmt.Fprintf(a.out, "%s is installed\nnext: leapc daemon, which was not running\n", r.Version)
		default:
			fmt.Fprintf(a.out, "%s is the newest release for this computer\n", r.Version)
		}
	})
}

// afterwards is the error of a daemon that is not well once a version is installed for
// good, and so nothing goes back by itself: it says who can have it go back.
func afterwards(p update.Prefix, version string, err error) error {
	back := p.Start() + " update back"
	if !p.Mine() {
		back = "sudo " + back
	}
	return errAfterwards{fmt.Errorf("%w\n%s is installed, and does not go back by itself any more\nnext: start the daemon anew; if it does not work as %s, return to the version before with: %s",
		err, version, version, back)}
}

// errAfterwards is what afterwards returns: something is wrong, whatever is behind it.
type errAfterwards struct{ error }

func (e errAfterwards) Unwrap() error { return e.error }

// bar shows how far a download is: a bar on a terminal, a line for each tenth
// elsewhere, nothing with --json. end is called when it is over.
func (a *app) bar(ctx context.Context) (show func(version string, done, length int64), end func()) {
	f, ok := a.errs.(*os.File)
	if a.json {
		return func(string, int64, int64) {}, func() {}
	}
	if !ok || !term.IsTerminal(int(f.Fd())) {
		said := int64(0)
		return func(version string, done, length int64) {
			if tenth := done * 10 / max(length, 1); tenth > said {
				said = tenth
				fmt.Fprintf(a.errs, "%s: %d0 %% of %.1f MB\n", version, tenth, float64(length)/1e6)
			}
		}, func() {}
	}
	all := mpb.NewWithContext(ctx, mpb.WithOutput(f))
	var bar *mpb.Bar
	show = func(version string, done, length int64) {
		if bar == nil {
			bar = all.New(length, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(version+" ")),
				mpb.AppendDecorators(decor.Counters(decor.SizeB1000(0), "% .1f of % .1f"), decor.AverageETA(decor.ET_STYLE_MMSS, decor.WC{W: 7})))
		}
		bar.SetCurrent(done)
	}
	return show, func() {
		if bar != nil {
			bar.Abort(false) // If it is not complete.
		}
		all.Wait()
	}
}
