package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"leap.example/services/gateway"
)

// rules say what a client may reach. They are pure.
type rules struct {
	own      []netip.Addr   // The gateway's in the tunnel.
	tunnel   []netip.Prefix // Of all clients.
	lab      []gateway.ConfigLab
	egress   []netip.Addr
	resolver netip.AddrPort // None: names are not resolved.
}

func newRules(cfg gateway.Config) (rules, error) {
	r := rules{own: cfg.Own(), tunnel: []netip.Prefix{cfg.IPv4}, lab: cfg.Lab, egress: cfg.Egress}
	if cfg.IPv6.IsValid() {
		r.tunnel = append(r.tunnel, cfg.IPv6)
	}
	if cfg.Resolver != "" {
		var err error
		if r.resolver, err = netip.ParseAddrPort(cfg.Resolver); err != nil {
			return r, fmt.Errorf("resolver: %w", err)
		}
	}
	return r, nil
}

// private are networks that no client has business with: the machine's own,
// its neighbours', and the ways by which IPv6 wraps them.
var private = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "224.0.0.0/3", // RFC 6890.
	"::/8", "64:ff9b::/32", "100::/16", "2002::/16", "fc00::/7", "fe80::/9", "ff00::/8", // RFC 4291, 6052, 3056, 4193.
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func in(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isOwn reports whether a is the gateway itself.
func (r rules) isOwn(a netip.Addr) bool { return slices.Contains(r.own, a) }

// open reports whether packets to a may go on: to the gateway, or out.
func (r rules) open(a netip.Addr) bool {
	switch {
	case r.isOwn(a):
		return true
	case in(r.tunnel, a): // Clients do not meet.
		return false
	}
	return !in(private, a)
}

// A span is a range of ports.
type span struct{ first, last uint16 }

// Ports that nobody reaches through a gateway: mail to servers, and services of
// local networks (leap-protocols.md 11.1); 53 is the resolver's alone.
var (
	closedTCP = []span{{25, 25}, {53, 53}, {135, 135}, {139, 139}, {161, 162}, {445, 445}, {4661, 4661}, {4666, 4666}}
	closedUDP = []span{{53, 53}, {69, 69}, {135, 135}, {137, 139}, {161, 162}, {445, 445}, {514, 514}}
)

// route returns where a connection to dst goes.
func (r rules) route(closed []span, dst netip.AddrPort) (to netip.AddrPort, ok bool) {
	if r.isOwn(dst.Addr()) {
		return r.resolver, dst.Port() == 53 && r.resolver.IsValid()
	}
	shut := slices.ContainsFunc(closed, func(s span) bool { return s.first <= dst.Port() && dst.Port() <= s.last })
	return netip.AddrPortFrom(r.behind(dst.Addr()), dst.Port()), !shut && r.open(dst.Addr())
}

// behind returns the address that a stands for in a lab.
func (r rules) behind(a netip.Addr) netip.Addr {
	for _, l := range r.lab {
		if !l.As.Contains(a) {
			continue
		}
		from, to := a.AsSlice(), l.Is.Addr().AsSlice()
		for i := range to {
			kept := 8 - min(8, max(0, l.Is.Bits()-8*i)) // Bits of this byte that tell the host.
			to[i] |= from[i] & byte(1<<kept-1)
		}
		a, _ = netip.AddrFromSlice(to)
		return a
	}
	return a
}

// from returns the address by which a client reaches to: invalid for the
// machine's choice. It is not ok if there are addresses, but none of the family.
func (r rules) from(client, to netip.Addr) (src netip.Addr, ok bool) {
	var fit []netip.Addr
	for _, a := range r.egress {
		if a.Is4() == to.Is4() {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return src, len(r.egress) == 0
	}
	b := client.As16()
	return fit[int(b[15])%len(fit)], true
}
