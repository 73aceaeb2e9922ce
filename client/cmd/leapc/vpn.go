package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/control"
	"leap.example/services/protocol/problem"
)

const (
	upTimeout = 90 * time.Second // That "vpn up" waits for the connection.
	poll      = 200 * time.Millisecond
)

func (a *app) vpn() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vpn",
		Short: "Encrypted internet: this computer's traffic goes through your provider",
		Long: `Encrypted internet: this computer's traffic goes through a gateway of your
provider, or nowhere.

  leapc vpn up          connect; from then on nothing leaves beside the tunnel
  leapc vpn status      how it is, and what to do if it is not well
  leapc vpn down        disconnect; traffic goes out as ever

It needs no account where the provider allows that: gateways admit whoever shows
a certificate that tells nothing about anybody.

While the VPN is up, and whenever the tunnel breaks, all other traffic is
blocked, DNS and IPv6 included, until the tunnel is back or you say "down". With
lockdown it is blocked after "down", too, and from the start of the computer on.

The network you are in sees that you use a VPN, and how much; not where to or
what. The sites you visit see the gateway's address instead of yours. The
gateway sees where your traffic goes, as your network did before.

For all traffic of this computer the helper must be installed, once:
  sudo leapc vpn-helper install
Without it, "leapc vpn up --proxy 127.0.0.1:1080" serves the programs that you
tell to use that proxy, and guards no others.`,
	}
	return group(cmd, a.vpnUp(), a.vpnDown(), a.vpnStatus(), a.vpnGateways(), a.vpnUse(),
		a.vpnSwitch("lockdown", "Block all traffic while the VPN is down, too", `Block all traffic while the VPN is down, too, and from the start of the computer
on: nothing ever leaves but through the tunnel. Needs the helper.`,
			func(on bool) control.VPNSettings { return control.VPNSettings{Lockdown: &on} }),
		a.vpnSwitch("autoconnect", "Connect whenever the daemon starts", `Connect whenever the daemon starts, in the way of the last "leapc vpn up". With
the helper, traffic is blocked from the start of the computer until then. The
daemon starts by itself after "leapc daemon install".`,
			func(on bool) control.VPNSettings { return control.VPNSettings{Autoconnect: &on} }),
		a.vpnSwitch("lan", "Let the local network be reached beside the tunnel", `Let the local network be reached beside the tunnel: printers, file servers. Who
is in it can then see this computer, and it them.`,
			func(on bool) control.VPNSettings { return control.VPNSettings{LAN: &on} }),
		a.vpnExclude(), a.vpnPortal(), a.vpnExport(), a.vpnImport(), a.vpnInvite())
}

func (a *app) vpnUp() *cobra.Command {
	var q control.VPNUpRequest
	var use string
	var detach bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Connect, and block everything beside the tunnel",
		Long: `Connect, and block everything beside the tunnel until "leapc vpn down".

It waits until the tunnel is up, at most 90 seconds; the daemon goes on trying
afterwards. Exit status 4: not connected yet, the reason is printed.

With --proxy nothing needs root and nothing of this computer is blocked: only
what uses the proxy goes through the tunnel, or nowhere. Set it in a browser as
SOCKS5 with "proxy DNS", or as https proxy; with curl:
  curl --proxy socks5h://127.0.0.1:1080 https://example.org`,
		Example: "  leapc vpn up\n  leapc vpn up --use NL\n  leapc vpn up --proxy 127.0.0.1:1080",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			c, err := a.reach(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			if use != "" {
				if err := c.VPNUse(ctx, control.VPNChoice{Use: use}); err != nil {
					return err
				}
			}
			if err := c.VPNUp(ctx, q); err != nil {
				return err
			}
			s, err := c.VPNStatus(ctx)
			if !detach && err == nil {
				s, err = a.awaitVPN(ctx, c)
			}
			if err != nil {
				return err
			}
			if s.State != control.VPNConnected {
				a.status = exitDegraded
			}
			return a.print(s, func() { a.printVPN(a.out, s) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Proxy, "proxy", "", "serve a proxy at `ip:port` of loopback instead of guarding the computer")
	f.StringVar(&use, "use", "", "choose a `gateway`, location or country first (see leapc vpn use)")
	f.BoolVar(&q.Account, "account", false, "fetch the certificate as your account, for your account's plan, not anonymously")
	f.BoolVar(&q.Classical, "allow-classical", false, "accept gateways without post-quantum key exchange")
	f.BoolVar(&detach, "detach", false, "do not wait until it is connected")
	return cmd
}

// awaitVPN waits until the VPN is connected, or has told what is wrong and the
// time is over, and says what happens meanwhile.
func (a *app) awaitVPN(ctx context.Context, c *control.Client) (control.VPNStatus, error) {
	end := time.Now().Add(upTimeout)
	said := ""
	for {
		s, err := c.VPNStatus(ctx)
		if err != nil || s.State == control.VPNConnected || s.State == control.VPNDisconnected || time.Now().After(end) {
			return s, err
		}
		if line := progress(s); line != said && !a.json {
			fmt.Fprintln(a.errs, line)
			said = line
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// progress says in one line what goes on.
func progress(s control.VPNStatus) string {
	line := s.State
	if s.Gateway != "" {
		line += " to " + place(s)
		if s.Transport != "" {
			line += " by " + s.Transport
		}
	}
	if s.Problem != "" {
		line += ": " + s.Problem
	}
	return line
}

func (a *app) vpnDown() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Disconnect",
		Long:  "Disconnect. Traffic goes out as ever; with lockdown it stays blocked.",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			if err := c.VPNDown(cmd.Context()); err != nil {
				return err
			}
			s, err := c.VPNStatus(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(s, func() {
				if s.Lockdown {
					fmt.Fprintln(a.out, "disconnected; lockdown is on: all traffic is blocked\nnext: leapc vpn up, or leapc vpn lockdown off")
					return
				}
				fmt.Fprintln(a.out, "disconnected; traffic goes out beside the VPN, as ever")
			})
		},
	}
}

func (a *app) vpnStatus() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the VPN is",
		Long: `Say how the VPN is. With --watch it is said again whenever something changes,
until you interrupt it; with --json as one line each time.

  state     disconnected   the VPN is off
            connecting     on its way; nothing leaves
            connected      traffic goes through the tunnel
            reconnecting   the tunnel is silent or being moved; nothing leaves
            blocked        it does not work, the problem says why; nothing leaves
  traffic   open, tunnel or blocked: what is in force now; unknown: the helper
            does not answer, or could not do what it was asked

Exit status 0: connected or disconnected; 4: anything else, or a problem.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			if watch {
				return a.watchVPN(cmd.Context(), c)
			}
			s, err := c.VPNStatus(cmd.Context())
			if err != nil {
				return err
			}
			if s.Problem != "" || s.State != control.VPNConnected && s.State != control.VPNDisconnected {
				a.status = exitDegraded
			}
			return a.print(s, func() { a.printVPN(a.out, s) })
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "say it again whenever it changes")
	return cmd
}

func (a *app) vpnSwitch(name, short, long string, set func(on bool) control.VPNSettings) *cobra.Command {
	return &cobra.Command{
		Use:       name + " on|off",
		Short:     short,
		Long:      long,
		Args:      args(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"on", "off"},
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			if err := c.VPNSet(cmd.Context(), set(args[0] == "on")); err != nil {
				return err
			}
			return a.done("%s is %s", name, args[0])
		},
	}
}

func (a *app) vpnImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import",
		Short: "Take a certificate for the VPN from standard input",
		Long: `Take a certificate for the VPN from standard input: the private key and the
certificate, PEM. It is the way around a network in which the provider's website
cannot be reached, but a gateway can: somebody else fetches the file.`,
		Example: "  leapc vpn import < example.org.pem",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pem, err := io.ReadAll(io.LimitReader(a.in, 64<<10))
			if err != nil {
				return err
			}
			c := a.client()
			defer c.Close()
			if err := c.VPNImport(cmd.Context(), control.VPNCertificate{PEM: string(pem)}); err != nil {
				return err
			}
			return a.done("the certificate is taken\nnext: leapc vpn up")
		},
	}
}

func (a *app) vpnInvite() *cobra.Command {
	return &cobra.Command{
		Use:   "invite",
		Short: "Take an invite token for private gateways",
		Long: `Take an invite token for private gateways: asked for, or read as one line from
standard input. "leapc vpn gateways --refresh" then lists them, too.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			token, err := a.prompter().ask("invite token")
			if err != nil {
				return err
			}
			if err := c.VPNSet(cmd.Context(), control.VPNSettings{Invite: &token}); err != nil {
				return err
			}
			if _, err := c.VPNGateways(cmd.Context(), control.VPNGatewaysRequest{Refresh: true}); err != nil && !errors.Is(err, problem.Unavailable) {
				return err
			}
			return a.done("the token is taken\nnext: leapc vpn gateways")
		},
	}
}
