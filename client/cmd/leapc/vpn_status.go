package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"leap.example/client/control"
)

// place says where a gateway is.
func place(s control.VPNStatus) string {
	if s.Location == "" {
		return s.Gateway
	}
	return fmt.Sprintf("%s (%s)", s.Gateway, strings.TrimSuffix(s.Location+", "+s.Country, ", "))
}

// printVPN writes the status for a person.
func (a *app) printVPN(out io.Writer, s control.VPNStatus) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, v any) { fmt.Fprintf(w, "%s\t%v\n", name, v) }
	row("state", s.State)
	row("traffic", traffic(s))
	if s.Gateway != "" {
		row("gateway", place(s))
		row("tunnel", tunnel(s))
		row("received", size(s.Received))
		row("sent", size(s.Sent))
	}
	if s.LeaseEnds != nil {
		row("lease", "until "+s.LeaseEnds.Local().Format(time.DateTime)+", renewed by itself")
	}
	if s.Use != "auto" {
		row("use", s.Use)
	}
	row("lockdown", onOff(s.Lockdown))
	row("autoconnect", onOff(s.Autoconnect))
	if s.LAN && s.Proxy == "" {
		row("lan", "on: the local network is reachable beside the tunnel")
	}
	if len(s.Exclude) > 0 && s.Proxy == "" {
		row("exclude", fmt.Sprintf("users %v go out beside the tunnel", s.Exclude))
	}
	if s.PortalUntil != nil {
		row("portal", "open until "+s.PortalUntil.Local().Format(time.TimeOnly))
	}
	if s.Problem != "" {
		row("problem", s.Problem)
	}
	if s.NextTry != nil {
		row("next try", s.NextTry.Local().Format(time.TimeOnly))
	}
	if n := nextStep(s); n != "" {
		row("next", n)
	}
	w.Flush() // The terminal is gone: nowhere to report to.
}

// traffic says what happens to this computer's traffic.
func traffic(s control.VPNStatus) string {
	who := "all traffic"
	if s.Proxy != "" {
		who = "what uses the proxy " + s.Proxy
	}
	switch s.Traffic {
	case "tunnel":
		return who + " goes through the tunnel, or nowhere"
	case "blocked":
		return who + " is blocked"
	case control.VPNUnknown:
		return "unknown: the helper does not answer, or could not do it"
	}
	return "open: the VPN is off"
}

// tunnel describes the tunnel.
func tunnel(s control.VPNStatus) string {
	t := "WireGuard by " + s.Transport + " to " + s.Endpoint
	if s.PostQuantum {
		t += ", post-quantum"
	} else {
		t += ", NOT post-quantum"
	}
	if s.RateBytes > 0 {
		t += fmt.Sprintf(", at most %s/s", size(uint64(s.RateBytes)))
	}
	if !s.IPv6 {
		t += ", IPv6 blocked"
	}
	return t
}

func nextStep(s control.VPNStatus) string {
	switch s.State {
	case control.VPNDisconnected:
		return "leapc vpn up"
	case control.VPNBlocked:
		return "it tries again by itself; leapc vpn down lets traffic out beside the VPN"
	}
	if s.State == control.VPNConnected && s.Proxy != "" {
		return "curl --proxy socks5h://" + s.Proxy + " https://example.org"
	}
	return ""
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// size writes a number of bytes with three digits.
func size(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if f /= 1000; f < 1000 {
			break
		}
	}
	return fmt.Sprintf("%.3g %s", f, unit)
}

// watchVPN writes the status whenever it changes, until it is interrupted: in
// place on a terminal, else one after the other.
func (a *app) watchVPN(ctx context.Context, c *control.Client) error {
	file, ok := a.out.(*os.File)
	live := ok && term.IsTerminal(int(file.Fd())) && !a.json
	lines, last := 0, ""
	for {
		s, err := c.VPNStatus(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		switch {
		case a.json:
			if err := json.NewEncoder(&b).Encode(s); err != nil {
				return err
			}
		case live:
			a.printVPN(&b, s)
		default:
			fmt.Fprintln(&b, time.Now().Format(time.TimeOnly), progress(s))
		}
		text := b.String()
		if !live && !a.json { // The time alone is no change.
			text = progress(s)
		}
		if text != last {
			if live && lines > 0 {
				fmt.Fprintf(a.out, "\x1b[%dA\x1b[J", lines) // Up, and clear to the end.
			}
			if _, err := a.out.Write(b.Bytes()); err != nil {
				return err
			}
			lines, last = bytes.Count(b.Bytes(), []byte("\n")), text
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(poll):
		}
	}
}
