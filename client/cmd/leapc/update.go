package main

import (
	"context"
	"errors"
	"fmt"
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
	"leap.example/client/vpn"
	"leap.example/services/protocol/problem"
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
is in it decides by itself, by chance, and tells nobody.

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

// vendorAt is who vouches for updates of a prefix.
func vendorAt(p update.Prefix) (update.Vendor, error) {
	own, err := update.ParseVendor(vendorJSON)
	if err != nil {
		return update.Vendor{}, err
	}
	return p.Vendor(own)
}

// A proxy says by which one a request goes out; nil: by none.
type proxy func(*http.Request) (*url.URL, error)

// updates is the configuration of an updater of a prefix for this process. Which
// proxy it uses is asked for each request; nil: never one.
func (a *app) updates(p update.Prefix, by proxy, log *slog.Logger) (update.Config, error) {
	v, err := vendorAt(p)
	if err != nil {
		return update.Config{}, err
	}
	return update.Config{
		Prefix: p, Dir: a.knownIn(p), Vendor: v, OS: runtime.GOOS, Arch: runtime.GOARCH, Stored: stored,
		Built: builtAt(), Through: through(by), Try: try, Log: log,
	}, nil
}

// through is the way to the sources.
func through(by proxy) *http.Transport {
	return &http.Transport{
		Proxy:                  by,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    20 * time.Second,
		IdleConnTimeout:        20 * time.Second,
		MaxIdleConns:           2,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// errBeside is that a request would leave beside the VPN.
var errBeside = problem.Unavailable.Errorf(`nothing is asked beside the VPN, which you want and which is not there: start the daemon ("leapc daemon") and see "leapc vpn status", or let traffic out with "leapc vpn down" and "leapc vpn lockdown off"`)

// byVPN is the way of a user who may want the VPN: its proxy, if that is what he
// has, or the network, if that is guarded by the helper or nobody wants it guarded.
// wanted says what is stored of that. Whatever is not known counts as wanted.
func byVPN(status func(context.Context) (control.VPNStatus, error), wanted func() (bool, error)) proxy {
	return func(r *http.Request) (*url.URL, error) {
		s, err := status(r.Context())
		switch {
		case err != nil && !errors.Is(err, control.ErrNotRunning):
			return nil, fmt.Errorf("how the VPN is cannot be found out, and nothing is asked beside it: %w", err)
		case s.Path == control.VPNPathHelper:
			return nil, nil // The tunnel, or nowhere.
		case s.Path == control.VPNPathProxy && s.State != control.VPNDisconnected:
			return &url.URL{Scheme: "socks5h", Host: s.Proxy}, nil
		case err == nil && s.State != control.VPNDisconnected:
			return nil, errBeside // It begins.
		}
		if want, err := wanted(); want || err != nil {
			return nil, errors.Join(errBeside, err)
		}
		return nil, nil
	}
}

// wantsVPN reports what is stored in the home of wanting the VPN.
func (a *app) wantsVPN() (bool, error) { return vpn.Wanted(a.home) }

// commandUpdates is updates for a command that ends.
func (a *app) commandUpdates(p update.Prefix) (update.Config, error) {
	c := a.client()
	return a.updates(p, byVPN(func(ctx context.Context) (control.VPNStatus, error) {
		defer c.Close()
		return c.VPNStatus(ctx)
	}, a.wantsVPN), slog.New(slog.NewTextHandler(a.errs, nil)))
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
