package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/unit"
	"leap.example/client/update"
	"leap.example/client/update/oneshot"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// updateUnit is what the unit of systemd runs. People never do.
func (a *app) updateUnit() *cobra.Command {
	return &cobra.Command{
		Use:   "update-unit",
		Short: "Update this program as root, once",
		Long: `Update this program as root, once, if there is a newer release whose turn has come.
systemd starts it now and then, and when a user connects to ` + oneshot.Socket + `.
Nothing that a user says is heard; what it looks for and whom it trusts is in files
that only root can write.`,
		Hidden: true,
		Args:   args(cobra.NoArgs),
		// No account's home is needed.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) error {
			ln, err := oneshot.Inherited(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
			if err != nil {
				return err
			}
			progress, end := func(string, int64, int64) {}, func(oneshot.Line) {}
			if ln != nil {
				all := oneshot.NewAudience(ln)
				progress, end = all.Progress, all.End
			}
			version, err := a.updateOnce(cmd.Context(), ln != nil, progress)
			switch {
			case errors.Is(err, tufclient.ErrNothing) && !errors.Is(err, target.ErrHeld):
				end(oneshot.Line{})
				return nil
			case err != nil:
				well := wellUnit(err)
				end(oneshot.Line{Problem: err.Error(), Well: well})
				if well {
					return nil
				}
				return err
			}
			end(oneshot.Line{Version: version})
			return nil
		},
	}
}

// wellUnit reports whether an error of the unit's is one with which nothing is wrong.
// That of a version that did not work is none, also if its reason is.
func wellUnit(err error) bool {
	return notInstalled(err) && !errors.As(err, new(*update.BackError))
}

// updateOnce is one look, and what comes of it. By the socket, which everybody may
// reach and systemd hands over at every start, one is made each minute at most.
func (a *app) updateOnce(ctx context.Context, asked bool, progress func(string, int64, int64)) (string, error) {
	p, err := ownPrefix()
	if err != nil {
		return "", err
	}
	if err := unit.Owned(p.Start()); err != nil {
		return "", err
	}
	if asked {
		if err := p.Asked(time.Now()); err != nil {
			return "", err
		}
	}
	// The way to the sources is that of all root's traffic: the tunnel, if the
	// helper guards this computer. No user is asked for a proxy.
	cfg, err := a.updates(p, nil, slog.New(slog.NewTextHandler(a.errs, nil)))
	if err != nil {
		return "", err
	}
	if cfg.Parts, err = helperParts(ctx, p); err != nil {
		return "", err
	}
	cfg.Progress = progress
	u, err := update.New(cfg)
	if err != nil {
		return "", err
	}
	return u.Apply(ctx, update.How{})
}
