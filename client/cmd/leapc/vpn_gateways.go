package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/control"
	"leap.example/client/durable"
)

func (a *app) vpnGateways() *cobra.Command {
	var q control.VPNGatewaysRequest
	cmd := &cobra.Command{
		Use:   "gateways",
		Short: "List the provider's gateways, the nearest first",
		Long: `List the provider's gateways, the nearest first as far as time zones tell. With
--measure their distance is measured: a connection to each is opened and closed.
The first column is what "leapc vpn use" takes, and so are location and country.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			defer c.Close()
			g, err := c.VPNGateways(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(g, func() { a.printGateways(g) })
		},
	}
	cmd.Flags().BoolVar(&q.Measure, "measure", false, "measure how far they are")
	cmd.Flags().BoolVar(&q.Refresh, "refresh", false, "ask the provider now (default: once a day)")
	return cmd
}

func (a *app) printGateways(g control.VPNGateways) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "GATEWAY\tLOCATION\tCITY\tLOAD\tPLANS\tDISTANCE\t")
	for _, one := range g.Gateways {
		load := fmt.Sprintf("%d/7", one.Load)
		if !one.Healthy {
			load = "down"
		}
		far := ""
		if one.LatencyMS != nil {
			far = fmt.Sprintf("%d ms", *one.LatencyMS)
		}
		note := ""
		if one.Current {
			note = "in use"
		}
		if one.Private {
			note = strings.TrimSpace(note + " private")
		}
		city := strings.TrimSuffix(one.City+", "+one.Country, ", ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.Host, one.Location, city, load, strings.Join(one.Plans, " "), far, note)
	}
	w.Flush() // The terminal is gone: nowhere to report to.
}

func (a *app) vpnUse() *cobra.Command {
	return &cobra.Command{
		Use:   "use auto|GATEWAY|LOCATION|COUNTRY",
		Short: "Choose a gateway, now and from now on",
		Long: `Choose a gateway, now and from now on: by its name, by its location, by a
country's two letters, or "auto": the one with room that answers fastest, among
those that are near by time zone. While the VPN is up it moves over; the old
tunnel is kept until the new one is there.`,
		Example: "  leapc vpn use amsterdam\n  leapc vpn use NL\n  leapc vpn use auto",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			if err := c.VPNUse(cmd.Context(), control.VPNChoice{Use: args[0]}); err != nil {
				return err
			}
			return a.done("using %s\nnext: leapc vpn up, or leapc vpn status", args[0])
		},
	}
}

func (a *app) vpnExclude() *cobra.Command {
	return &cobra.Command{
		Use:   "exclude USER...|none",
		Short: "Let some users' traffic go out beside the tunnel",
		Long: `Let some users' traffic go out beside the tunnel: users of this computer by
name or number, never root. Needs the helper. "none" ends it. Names are still
looked up by the tunnel's resolvers, unless a program asks others by itself.`,
		Example: "  leapc vpn exclude games\n  leapc vpn exclude none",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			uids := []uint32{}
			for _, name := range args {
				if name == "none" && len(args) == 1 {
					break
				}
				uid, err := uidOf(name)
				if err != nil {
					return err
				}
				uids = append(uids, uid)
			}
			c := a.client()
			defer c.Close()
			if err := c.VPNSet(cmd.Context(), control.VPNSettings{Exclude: &uids}); err != nil {
				return err
			}
			return a.done("%d users are outside the tunnel", len(uids))
		},
	}
}

// uidOf finds a user of this computer.
func uidOf(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, usageError{fmt.Errorf("this computer has no user %q", name)}
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %s has no number: %w", name, err)
	}
	return uint32(n), nil
}

func (a *app) vpnPortal() *cobra.Command {
	var minutes int
	var closing bool
	cmd := &cobra.Command{
		Use:   "portal USER",
		Short: "Let one user log in at a captive portal, for some minutes",
		Long: `Let one user log in at a captive portal, for some minutes: in cafés and trains the
network answers nothing before a page of its own was visited, and the VPN cannot
connect. While the window is open, DNS and web (ports 80 and 443) of that user
alone go out beside the tunnel. Use a user for nothing else, and start a browser
as that user; everything of it can be seen by the network. The window closes by
itself. Needs the helper.`,
		Example: "  leapc vpn portal portal        # a user made for it: sudo useradd -m portal\n  leapc vpn portal --close",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			if closing {
				if err := c.VPNPortal(cmd.Context(), control.VPNPortal{}); err != nil {
					return err
				}
				return a.done("the window is closed")
			}
			if len(args) == 0 {
				return mistake(cmd, errors.New("name the user whose browser goes to the portal"))
			}
			uid, err := uidOf(args[0])
			if err != nil {
				return err
			}
			if err := c.VPNPortal(cmd.Context(), control.VPNPortal{UID: uid, Seconds: minutes * 60}); err != nil {
				return err
			}
			return a.done("for %d minutes, DNS and web of %s go out beside the tunnel\nnext: log in at the portal with a browser of that user, then: leapc vpn portal --close", minutes, args[0])
		},
	}
	cmd.Flags().IntVar(&minutes, "minutes", 5, "how `long`, at most 5")
	cmd.Flags().BoolVar(&closing, "close", false, "close the window now")
	return cmd
}

func (a *app) vpnExport() *cobra.Command {
	var q control.VPNChoice
	cmd := &cobra.Command{
		Use:   "export FILE|-",
		Short: "Write a configuration for other WireGuard programs",
		Long: `Write a configuration of wg-quick for other WireGuard programs: a router, a
telephone. It has a lease of its own, which ends after a day at the latest and
is not renewed; what happens to that device's traffic then is up to it. The file
is a secret, mode 0600. "-" is standard output.`,
		Example:           "  leapc vpn export leap.conf && sudo wg-quick up ./leap.conf",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			defer c.Close()
			g, err := c.VPNExport(cmd.Context(), q)
			if err != nil {
				return err
			}
			if args[0] == "-" {
				return a.print(g, func() { fmt.Fprint(a.out, g.Config) })
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return usageError{fmt.Errorf("%s is there already: name another file, or remove it", args[0])}
			}
			if err := durable.Replace(args[0], []byte(g.Config)); err != nil {
				return err
			}
			g.Config = ""
			return a.print(g, func() {
				fmt.Fprintf(a.out, "%s: %s, until %s\n", args[0], g.Gateway, g.Ends.Local().Format(time.DateTime))
			})
		},
	}
	cmd.Flags().StringVar(&q.Use, "use", "", "a `gateway`, location or country (default: as chosen by leapc vpn use)")
	return cmd
}
