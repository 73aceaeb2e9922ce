package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/control"
)

func (a *app) commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "leapc",
		Short: "Private mail and storage at a provider that you need not trust",
		Long: `leapc keeps your account: keys, mail and storage, encrypted on this machine and
synchronised, encrypted, with your provider and your other devices.

First steps:
  leapc daemon &                      hold the account (or: systemctl --user start leapc)
  leapc provider add example.org      choose a provider
  leapc signup alice                  make an account (or: leapc login alice)
  leapc mail                          what to type into your mail program
  leapc vpn up                        encrypted internet, also without an account
  leapc update                        keep this program up to date

Exit status: 0 done; 1 failed; 2 a mistake on the command line; 3 needs a login;
4 no daemon, no provider, or something that needs you. Messages are on standard
error, also with --json. Passwords are asked for, or read from standard input:
they are never on the command line.`,
		Version:           ownVersion(),
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: a.prepare,
	}
	root.PersistentFlags().StringVar(&a.home, "home", a.home, "`directory` of the account on this device")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.SetFlagErrorFunc(mistake)
	provider := group(&cobra.Command{Use: "provider", Short: "Choose the provider of this device"}, a.providerAdd())
	group(root, a.daemonCommand(), provider, a.signup(), a.login(), a.lock(), a.passwd(), a.account(),
		a.statusCommand(), a.mail(), a.keys(), a.sync(), a.vpnHelper(), a.vpn(), a.update(), a.updateUnit())
	noFiles(root)
	return root
}

// noFiles keeps the shells from completing arguments by names of files, unless
// a command says what it takes.
func noFiles(cmd *cobra.Command) {
	if cmd.ValidArgs == nil && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		noFiles(sub)
	}
}

// reach returns a client of the daemon after a first word with it, so that
// nobody types a password for nothing.
func (a *app) reach(ctx context.Context) (*control.Client, error) {
	c := a.client()
	if _, err := c.Status(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// print writes v as JSON, or lets text write it for a person.
func (a *app) print(v any, text func()) error {
	if a.json {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	text()
	return nil
}

// What --json prints of answers that do not carry the schema themselves.
type (
	providerAnswer struct {
		Schema int `json:"schema"`
		control.Provider
	}
	keyAnswer struct {
		Schema int `json:"schema"`
		control.Key
	}
	keysAnswer struct {
		Schema int           `json:"schema"`
		Keys   []control.Key `json:"keys"`
	}
)

// done is what a command without an answer prints.
func (a *app) done(format string, args ...any) error {
	return a.print(map[string]any{"schema": control.Schema, "ok": true}, func() { fmt.Fprintf(a.out, format+"\n", args...) })
}

func (a *app) providerAdd() *cobra.Command {
	var q control.ProviderRequest
	cmd := &cobra.Command{
		Use:   "add DOMAIN[:PORT]",
		Short: "Fetch a provider's documents and pin its certificate authority",
		Long: `Fetch a provider's documents and pin its certificate authority.

With --ca-fingerprint nothing else is trusted: give the fingerprint that the
provider publishes on paper, in person or in your invitation. Without it the
public certificate authorities vouch for the first contact.`,
		Example: "  leapc provider add example.org\n  leapc provider add example.org --ca-fingerprint 'SHA256: 3c0f…'",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			q.Domain = args[0]
			p, err := c.AddProvider(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(providerAnswer{control.Schema, p}, func() {
				fmt.Fprintf(a.out, "%s (%s)\n%s\nca   %s\nnext: leapc signup NAME, or leapc login NAME\n", p.Name, p.Domain, p.Description, p.Fingerprint)
				if p.Enrollment == "invite" {
					fmt.Fprintln(a.out, "sign-up needs an invite code: leapc signup NAME --invite CODE")
				}
			})
		},
	}
	cmd.Flags().StringVar(&q.Fingerprint, "ca-fingerprint", "", "`fingerprint` of the provider's CA: \"SHA256: hex\"")
	cmd.Flags().StringVar(&q.Resolver, "resolver", "", "DNS server to ask, `host:port` (default: the system's)")
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the account is",
		Long:  "Say how the account is. Exit status 0: online; 3: needs a login; 4: offline or something is wrong.",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			switch {
			case s.State == control.StateOnline && s.Problem == "":
			case s.State == control.StateOnline, s.State == control.StateOffline:
				a.status = exitDegraded
			default:
				a.status = exitNeedsLogin
			}
			u, err := c.UpdateStatus(cmd.Context())
			if err != nil {
				u = control.UpdateStatus{} // A daemon of a release before updates does not know.
			}
			return a.print(s, func() { a.printStatus(s, u) })
		},
	}
}

func (a *app) printStatus(s control.Status, u control.UpdateStatus) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name string, v any) { fmt.Fprintf(w, "%s\t%v\n", name, v) }
	row("state", s.State)
	if s.Provider != "" {
		row("provider", s.Provider)
	}
	if s.Address != "" {
		row("address", s.Address)
	}
	if s.Fingerprint != "" {
		row("key", s.Fingerprint)
	}
	if s.State == control.StateOnline || s.State == control.StateOffline {
		last := "not since the login"
		if s.LastSync != nil {
			last = s.LastSync.Local().Format(time.DateTime)
		}
		row("last sync", last)
		row("to send", fmt.Sprintf("%d changes, %d mails", s.Pending, s.Outbox))
	}
	if s.Problem != "" {
		row("problem", s.Problem)
	}
	updateRow(u, row)
	switch s.State {
	case control.StateNoProvider:
		row("next", "leapc provider add DOMAIN")
	case control.StateNoAccount:
		row("next", "leapc signup NAME, or leapc login NAME")
	case control.StateLocked:
		row("next", "leapc login")
	}
	w.Flush() // The terminal is gone: nowhere to report to.
}

func (a *app) mail() *cobra.Command {
	return &cobra.Command{
		Use:   "mail",
		Short: "Show what to type into your mail program",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			m, err := c.Mail(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(m, func() {
				fmt.Fprintf(a.out, "address   %s\nusername  %s\npassword  %s   (of this machine; not your account's)\nIMAP      %s port %d, no encryption (it never leaves this machine)\nSMTP      %s port %d, no encryption\n",
					m.Address, m.Username, m.Password, m.IMAP.Host, m.IMAP.Port, m.SMTP.Host, m.SMTP.Port)
			})
		},
	}
}

func (a *app) keys() *cobra.Command {
	return &cobra.Command{
		Use:     "keys [ADDRESS]",
		Short:   "List the known OpenPGP keys, or find the key of an address",
		Example: "  leapc keys\n  leapc keys bob@example.org --json",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			if len(args) == 1 {
				k, err := c.FindKey(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.print(keyAnswer{control.Schema, k}, func() { fmt.Fprintf(a.out, "%s  %s  %s\n%s\n", k.Address, k.Fingerprint, k.Level, k.Armored) })
			}
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(keysAnswer{control.Schema, keys}, func() {
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				for _, k := range keys {
					fmt.Fprintf(w, "%s\t%s\t%s\n", k.Address, k.Fingerprint, k.Level)
				}
				w.Flush() // The terminal is gone: nowhere to report to.
			})
		},
	}
}

func (a *app) sync() *cobra.Command {
	return &cobra.Command{
		Use:   "sync",
		Short: "Exchange changes with the provider now",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			r, err := c.Sync(cmd.Context())
			if err != nil {
				return err
			}
			if r.Quarantined > 0 {
				a.status = exitDegraded
			}
			return a.print(r, func() {
				fmt.Fprintf(a.out, "sent %d, received %d, mails %d, quarantined %d\n", r.Sent, r.Received, r.Mails, r.Quarantined)
			})
		},
	}
}
