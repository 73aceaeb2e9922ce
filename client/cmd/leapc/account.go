package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"leap.example/client/control"
)

// minPassword is the least length of a new password, in bytes. The memory-hard
// step before SRP makes guessing dear, not impossible.
const minPassword = 8

// A prompter asks for secrets: hidden on a terminal, one line each otherwise.
type prompter struct {
	a     *app
	lines *bufio.Reader
}

func (a *app) prompter() *prompter { return &prompter{a: a} }

func (p *prompter) ask(what string) (string, error) {
	fd := int(p.a.in.Fd())
	if term.IsTerminal(fd) {
		fmt.Fprint(p.a.errs, what+": ")
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(p.a.errs)
		return string(b), err
	}
	if p.lines == nil {
		p.lines = bufio.NewReader(io.LimitReader(p.a.in, 64<<10))
	}
	line, err := p.lines.ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usageError{fmt.Errorf("%s: expected on a terminal, or as a line on standard input (%v)", what, err)}
	}
	return line, nil
}

// askNew asks for a new password, twice on a terminal.
func (p *prompter) askNew(what string) (string, error) {
	pw, err := p.ask(what)
	if err != nil {
		return "", err
	}
	if len(pw) < minPassword {
		return "", usageError{fmt.Errorf("the password is too short: at least %d characters", minPassword)}
	}
	if term.IsTerminal(int(p.a.in.Fd())) {
		again, err := p.ask(what + " again")
		if err != nil {
			return "", err
		}
		if again != pw {
			return "", usageError{errors.New("the two passwords differ")}
		}
	}
	return pw, nil
}

func (a *app) signup() *cobra.Command {
	var q control.Credentials
	cmd := &cobra.Command{
		Use:   "signup NAME",
		Short: "Make an account at the provider, with keys and an encrypted store",
		Long: `Make an account at the provider, with keys and an encrypted store.

The password is asked for, or read as one line from standard input. It never
leaves this machine: the provider learns only a verifier (SRP). Nobody can
reset it; whoever forgets it loses the mail.`,
		Example: "  leapc signup alice --invite f3kd-92ma",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if q.Password, err = a.prompter().askNew("password"); err != nil {
				return err
			}
			q.Login = args[0]
			if err := c.SignUp(cmd.Context(), q); err != nil {
				return err
			}
			return a.done("welcome, %s\nnext: leapc mail", q.Login)
		},
	}
	cmd.Flags().StringVar(&q.Invite, "invite", "", "invite `code`")
	return cmd
}

func (a *app) login() *cobra.Command {
	return &cobra.Command{
		Use:     "login [NAME]",
		Aliases: []string{"unlock"},
		Short:   "Open an account on this device",
		Long: `Open an account on this device. The first login on a device fetches the account's
keys and mail; later ones unlock the local store, also without a network.
The password is asked for, or read as one line from standard input.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var q control.Credentials
			if len(args) == 1 {
				q.Login = args[0]
			}
			c, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if q.Password, err = a.prompter().ask("password"); err != nil {
				return err
			}
			if err := c.Login(cmd.Context(), q); err != nil {
				return err
			}
			return a.done("unlocked\nnext: leapc mail, or leapc status")
		},
	}
}

func (a *app) lock() *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Aliases: []string{"lock"},
		Short:   "Close the account: store, mail proxies, session at the provider",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			if err := c.Lock(cmd.Context()); err != nil {
				return err
			}
			return a.done("locked")
		},
	}
}

func (a *app) passwd() *cobra.Command {
	return &cobra.Command{
		Use:   "passwd",
		Short: "Change the account's password on this device and at the provider",
		Long: `Change the account's password on this device and at the provider. Both are asked
for, or read as two lines from standard input: the present one, then the new one.
Other devices ask for the new one at their next login.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			p := a.prompter()
			var q control.PasswordChange
			if q.Old, err = p.ask("present password"); err != nil {
				return err
			}
			if q.New, err = p.askNew("new password"); err != nil {
				return err
			}
			if err := c.ChangePassword(cmd.Context(), q); err != nil {
				return err
			}
			return a.done("the password is changed")
		},
	}
}

func (a *app) account() *cobra.Command {
	var yes bool
	remove := &cobra.Command{
		Use:   "delete",
		Short: "Delete the account at the provider and everything of it on this device",
		Long: `Delete the account at the provider and everything of it on this device. Nothing
can be brought back. The password is asked for, or read as one line from
standard input.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return usageError{errors.New("this cannot be undone: repeat with --yes")}
			}
			c, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			pw, err := a.prompter().ask("password")
			if err != nil {
				return err
			}
			if err := c.DeleteAccount(cmd.Context(), control.Credentials{Password: pw}); err != nil {
				return err
			}
			return a.done("the account is gone")
		},
	}
	remove.Flags().BoolVar(&yes, "yes", false, "do it")
	return group(&cobra.Command{Use: "account", Short: "Manage the account itself"}, remove)
}
