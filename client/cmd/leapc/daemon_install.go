package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/client/unit"
	"leap.example/client/update"
	"leap.example/services/protocol/problem"
)

// daemonUnit is the name of the unit of systemd that runs the daemon of a user,
// and daemonTarget what starts it.
const (
	daemonUnit   = "leapc.service"
	daemonTarget = "default.target"
)

// A userUnit is what the unit is made of.
type userUnit struct {
	dir     string   // Of the user's units.
	command []string // The program's absolute path, and what it is given.
}

// text is the unit. Invalid: no unit can name such a program or home.
func (u userUnit) text() (string, error) {
	var words []string
	for _, word := range u.command {
		if strings.ContainsAny(word, "\"\\\n\r\t") {
			return "", problem.Invalid.Errorf("systemd cannot start a program with %q: choose a path without quotes, backslashes and tabs", word)
		}
		words = append(words, `"`+strings.NewReplacer("%", "%%", "$", "$$").Replace(word)+`"`)
	}
	return `[Unit]
Description=LEAP: the account and the VPN of this user

[Service]
Type=exec
ExecStart=` + strings.Join(words, " ") + `
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=125
SuccessExitStatus=143

[Install]
WantedBy=` + daemonTarget + `
`, nil
}

// write writes the unit and has systemd start it with the user's session.
func (u userUnit) write() error {
	text, err := u.text()
	if err != nil {
		return err
	}
	return unit.Write(u.dir, daemonUnit, daemonTarget, []byte(text))
}

// remove removes what write wrote.
func (u userUnit) remove() error { return unit.Remove(u.dir, daemonUnit, daemonTarget) }

// userUnits is the directory of the user's units.
func userUnits() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "systemd", "user"), nil
}

func (a *app) daemonInstall(options func() []string) *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Have systemd run the daemon whenever you are logged in",
		Long: `Have systemd run the daemon whenever you are logged in, as a unit of your own
(leapc.service), and start it now. No root is needed. The flags of "leapc daemon"
given here are given to it.

For "leapc vpn autoconnect on" before you log in, systemd must run your units from
the start of the computer on:
  loginctl enable-linger`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !systemdRuns() {
				return problem.Unavailable.Errorf(`systemd does not run here: start "leapc daemon" yourself`)
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			u := userUnit{command: append([]string{update.Start(program), "daemon"}, options()...)}
			if a.home != defaultHome() {
				u.command = append(u.command, "--home", a.home)
			}
			if u.dir, err = userUnits(); err != nil {
				return err
			}
			if err := u.write(); err != nil {
				return err
			}
			for _, words := range [][]string{{"--user", "daemon-reload"}, {"--user", "restart", daemonUnit}} {
				if err := systemctl(cmd.Context(), words...); err != nil {
					return fmt.Errorf("%w\nthe unit is written: %s", err, filepath.Join(u.dir, daemonUnit))
				}
			}
			return a.done("the daemon runs whenever you are logged in\nnext: loginctl enable-linger, if the VPN is to connect before you log in")
		},
	}
}

func (a *app) daemonUninstall() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Stop that daemon and have systemd run it no more",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := userUnits()
			if err != nil {
				return err
			}
			u := userUnit{dir: dir}
			if _, err := os.Stat(filepath.Join(u.dir, daemonUnit)); err == nil {
				if err := systemctl(cmd.Context(), "--user", "stop", daemonUnit); err != nil {
					return err
				}
			}
			if err := u.remove(); err != nil {
				return err
			}
			if err := systemctl(cmd.Context(), "--user", "daemon-reload"); err != nil {
				return err
			}
			return a.done("the daemon runs no more by itself")
		},
	}
}
