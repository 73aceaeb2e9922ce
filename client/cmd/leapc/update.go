package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/control"
	"leap.example/client/update"
)

func (a *app) update() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Keep this program up to date",
		Long: `Keep this program up to date, with what its vendor has signed.

  leapc update check     ask what is new; nothing is installed
  leapc update apply     install it, and go back if it does not work
  leapc update status    what runs, what is there to be had, and whose word that is
  leapc update back      return to the version before
  leapc update log       what was installed and what was given up

A release counts only if enough of the vendor's signers have signed it: neither a
mirror nor your provider can make one. It goes out in waves; which one this computer
is in it decides by itself, by chance, and nobody can tell it from others.

For that the program lies in a directory of its own, with its versions side by
side; "leapc update install" makes one. If that belongs to root, a unit of systemd
updates it by itself; if it is yours, you do, and the daemon tells you when.`,
	}
	return group(cmd, a.updateCheck(), a.updateApply(), a.updateBack(), a.updateStatus(), a.updateLog(),
		a.updateInstall(), a.updateUninstall(), a.updateSelfcheck())
}

// ownPrefix is where this program lies.
func ownPrefix() (update.Prefix, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	p, ok := update.Of(program)
	if !ok {
		return "", update.ErrPrefix
	}
	return p, nil
}

// knownIn is where this user keeps what is known of updates of a prefix.
func (a *app) knownIn(p update.Prefix) string {
	if p.Mine() {
		return p.Dir()
	}
	return filepath.Join(a.home, "update")
}

// updates is the configuration of an updater of a prefix for this process. How
// the VPN is, is asked for each request.
func (a *app) updates(p update.Prefix, vpn func(context.Context) (control.VPNStatus, error), log *slog.Logger) (update.Config, error) {
	own, err := update.ParseVendor(vendorJSON)
	if err != nil {
		return update.Config{}, err
	}
	v, err := p.Vendor(own)
	if err != nil {
		return update.Config{}, err
	}
	return update.Config{
		Prefix: p, Dir: a.knownIn(p), Vendor: v, OS: runtime.GOOS, Arch: runtime.GOARCH, Stored: stored,
		Built: builtAt(), Through: through(vpn), Try: try, Log: log,
	}, nil
}

// through is the way to the sources: the network, which is the tunnel where the
// helper guards this computer, or the VPN's proxy while there is one.
func through(vpn func(context.Context) (control.VPNStatus, error)) *http.Transport {
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			s, err := vpn(r.Context())
			if err != nil || s.Path != control.VPNPathProxy || s.State == control.VPNDisconnected {
				return nil, nil // No daemon, no proxy.
			}
			return &url.URL{Scheme: "socks5h", Host: s.Proxy}, nil
		},
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    20 * time.Second,
		IdleConnTimeout:        20 * time.Second,
		MaxIdleConns:           2,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// commandUpdates is updates for a command that ends.
func (a *app) commandUpdates(p update.Prefix) (update.Config, error) {
	c := a.client()
	return a.updates(p, func(ctx context.Context) (control.VPNStatus, error) {
		defer c.Close()
		return c.VPNStatus(ctx)
	}, slog.New(slog.NewTextHandler(a.errs, nil)))
}

func (a *app) updateCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Ask what is new; nothing is installed",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := ownPrefix()
			if err != nil {
				return err
			}
			cfg, err := a.commandUpdates(p)
			if err != nil {
				return err
			}
			u, err := update.New(cfg)
			if err != nil {
				return err
			}
			if _, err := u.Check(cmd.Context()); err != nil {
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
