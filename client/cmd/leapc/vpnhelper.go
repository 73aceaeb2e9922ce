package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"leap.example/client/update"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/kernel"
	"leap.example/client/vpn/policy"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// vpnHelper reaches the privileged half of the VPN. NotExist: it is not there.
func vpnHelper(context.Context) (policy.Path, error) {
	if _, err := os.Stat(helper.Socket); errors.Is(err, os.ErrNotExist) {
		return nil, problem.NotExist.Errorf("the VPN's helper is not installed")
	}
	return helper.NewClient(helper.Socket), nil
}

// helperOptions are the flags of the commands about the helper.
type helperOptions struct {
	socket, state, runtime, resolvConf, units string

	uids []uint
	user string
}

// vpnHelper is the part of leapc that runs as root. People meet it once, when
// they install it.
func (a *app) vpnHelper() *cobra.Command {
	o := &helperOptions{}
	cmd := group(&cobra.Command{
		Use:   "vpn-helper",
		Short: "The part of the VPN that runs as root",
		Long: `The part of the VPN that runs as root: routes, firewall, resolvers. systemd
starts it after "sudo leapc vpn-helper install"; the other commands ask it.

While it has a policy other than "open", a table of the kernel's firewall
(inet leap_vpn) lets traffic go through the tunnel or nowhere. The table stays
when the helper ends, however it ends: "sudo leapc vpn-helper unblock" removes it.`,
		Hidden: true,
	},
		o.run(a), o.block(), o.unblock(), o.install(a), o.uninstall())
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return nil } // No account's home is needed.
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.socket, "socket", helper.Socket, "`path` of the helper's socket")
	flags.StringVar(&o.runtime, "runtime", filepath.Dir(helper.Socket), "`directory` in RAM for what is to be put back")
	flags.StringVar(&o.state, "state", "/var/lib/leap-vpn", "`directory` that survives a restart")
	flags.StringVar(&o.resolvConf, "resolv-conf", "/etc/resolv.conf", "`file` that names the resolvers, where systemd-resolved does not run")
	flags.StringVar(&o.units, "units", "/etc/systemd/system", "`directory` of systemd's units")
	return cmd
}

func (o *helperOptions) kernel() kernel.Config {
	cfg := kernel.Config{State: o.runtime, ResolvConf: o.resolvConf}
	if _, err := os.Stat("/run/systemd/resolve/io.systemd.Resolve"); err == nil {
		cfg.Resolve = func(ctx context.Context, args ...string) error {
			cmd := exec.CommandContext(ctx, "/usr/bin/resolvectl", args...)
			cmd.Env = []string{}
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("telling systemd-resolved about the tunnel: %w", err)
			}
			return nil
		}
	}
	return cfg
}

// guarding is kernel for the helper that serves.
func (o *helperOptions) guarding() kernel.Config {
	cfg := o.kernel()
	cfg.BlockFile = filepath.Join(o.state, helper.BootFile)
	return cfg
}

func (o *helperOptions) run(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve the socket until stopped; traffic stays blocked if it was",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Before anything is read from anybody.
			if err := helper.Confine(); err != nil {
				return fmt.Errorf("%w: %w", daemon.ErrFatal, err)
			}
			log := slog.New(slog.NewTextHandler(a.errs, nil))
			path, err := kernel.New(o.guarding(), log)
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			cfg := helper.Config{
				Socket: o.socket, State: o.state, UIDs: narrow(o.uids),
				Program: helper.Program{Version: ownVersion(), Path: program},
			}
			err = errors.Join(helper.NewServer(cfg, path, log).Run(cmd.Context()), path.Close())
			if err == nil {
				a.status = daemon.ExitStopped
			}
			return err
		},
	}
	cmd.Flags().UintSliceVar(&o.uids, "uid", nil, "`users`, by number, who may ask beside root")
	return cmd
}

func (*helperOptions) block() *cobra.Command {
	return &cobra.Command{
		Use:   "block",
		Short: "Block all traffic now, until the helper gets a policy",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return kernel.Block() },
	}
}

func (o *helperOptions) unblock() *cobra.Command {
	return &cobra.Command{
		Use:   "unblock",
		Short: "Remove everything that the helper made: traffic leaves in the clear",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// One that runs would put its table back.
			err := helper.NewClient(o.socket).Apply(cmd.Context(), policy.Policy{Mode: policy.Open})
			if !errors.Is(err, problem.Unavailable) {
				return err
			}
			return kernel.Unblock(cmd.Context(), o.kernel())
		},
	}
}

func (o *helperOptions) install(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install --user NAME",
		Short: "Have systemd run the helper, and let one more user ask it",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			i := helper.Install{Dir: o.units, Program: update.Start(program)}
			if o.user != "" {
				uid, err := uidOf(o.user)
				if err != nil {
					return err
				}
				i.UIDs = []uint32{uid}
			}
			if err := i.Write(); err != nil {
				return err
			}
			if err := systemctl(cmd.Context(), "daemon-reload"); err != nil {
				return err
			}
			if err := systemctl(cmd.Context(), "restart", helper.Service); err != nil {
				return err
			}
			fmt.Fprintln(a.out, "The VPN helper is installed.")
			return nil
		},
	}
	cmd.Flags().StringVar(&o.user, "user", os.Getenv("SUDO_USER"), "`name` of the user who may use the VPN beside root")
	return cmd
}

func (o *helperOptions) uninstall() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Stop the helper and remove it: traffic leaves in the clear",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, unit := range []string{helper.Service, helper.Block} {
				if _, err := os.Stat(filepath.Join(o.units, unit)); err != nil {
					continue // It is not installed.
				}
				if err := systemctl(cmd.Context(), "stop", unit); err != nil {
					return err
				}
			}
			if err := (helper.Install{Dir: o.units}).Remove(); err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(o.state, helper.BootFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return errors.Join(kernel.Unblock(cmd.Context(), o.kernel()), systemctl(cmd.Context(), "daemon-reload"))
		},
	}
}

// systemdRuns reports whether systemd has started this computer (sd_booted(3)).
func systemdRuns() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// systemctl tells systemd, where it runs.
func systemctl(ctx context.Context, args ...string) error {
	if !systemdRuns() {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", args[0], err, out)
	}
	return nil
}

// narrow makes users' numbers of the kernel's size. A larger one is nobody's.
func narrow(all []uint) (ids []uint32) {
	for _, id := range all {
		if id <= 1<<32-2 {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}
