package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"leap.example/client/account"
	"leap.example/client/control"
	"leap.example/client/vpn"
	"leap.example/services/daemon"
)

func (a *app) daemonCommand() *cobra.Command {
	var encryptedOnly, verbose bool
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Hold the account of this device until stopped",
		Long: `Hold the account of this device until stopped: its encrypted store, the mail
proxies on loopback, and the connection to the provider. The other commands
speak to it. After a start the account is locked: "leapc login" opens it; the VPN
needs no login. When it starts again with a new version of itself, an account that was
open stays so. "leapc daemon install" has systemd run it.

Exit status: 1 failed, a restart may help; 125 a restart cannot help (another
daemon holds this account); 143 stopped because it was asked to.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(a.home, 0o700); err != nil {
				return fmt.Errorf("%w: %w", daemon.ErrFatal, err)
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
			acct := account.New(account.Config{Dir: a.home, EncryptedOnly: encryptedOnly, UsualPorts: a.home == defaultHome(), Version: ownVersion()}, log)
			if kept, err := takeOver(); err != nil || len(kept) > 0 {
				if err == nil {
					err = acct.Resume(cmd.Context(), kept)
				}
				if err != nil {
					log.Warn("the account was open and is locked now", "err", err)
				}
			}
			v := vpn.New(vpn.Config{Dir: a.home, Provider: acct.Provider, Token: acct.Token, Helper: vpnHelper}, log)
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			w := a.watcher(v, log)
			u := newUpdates(w, stop)
			g := &daemon.Group{Log: log, Once: true}
			g.Add("account", acct)
			g.Add("vpn", v)
			g.Add("control", control.NewServer(a.socket(), acct, v, u, log))
			if w != nil {
				g.Add("update", w)
			}
			err := g.Run(ctx)
			if err == nil {
				a.status, a.next = daemon.ExitStopped, u.next()
				if a.next != "" {
					a.kept = acct.Kept()
				}
			} else if errors.Is(err, daemon.ErrFatal) {
				a.status = daemon.ExitStay
			}
			return err
		},
	}
	cmd.PersistentFlags().BoolVar(&encryptedOnly, "encrypted-only", false, "refuse mail to people whose key is not known")
	cmd.PersistentFlags().BoolVar(&verbose, "verbose", false, "log details, which may name addresses")
	cmd.AddCommand(a.daemonInstall(func() (words []string) {
		for name, on := range map[string]bool{"--encrypted-only": encryptedOnly, "--verbose": verbose} {
			if on {
				words = append(words, name)
			}
		}
		slices.Sort(words)
		return words
	}), a.daemonUninstall())
	return cmd
}
