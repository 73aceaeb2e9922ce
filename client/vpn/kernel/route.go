package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/client/vpn/policy"
)

// routeTable holds the tunnel's routes: one default for each version of IP.
const routeTable = 51820

// Priorities of the routing rules, in the order in which the kernel asks them;
// all come before "main". What is marked passes them all and goes by main.
const (
	toResolver = 5199 + iota // The tunnel's resolvers: by the tunnel, for everybody.
	outside                  // Users outside the tunnel: by main.
	toLAN                    // Private networks, with the LAN switch: by main, if it knows better than "default".
	intoTunnel               // All else that is not marked: by the tunnel.
	lastRule   = intoTunnel
)

// route makes routing rules and the tunnel's routes what q asks for: none
// without a tunnel. What is there already is left alone; new rules come before
// old ones go.
func route(q policy.Policy) error {
	want := rules(q)
	for _, version := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		have, err := dump(func() ([]netlink.Rule, error) { return netlink.RuleList(version) })
		if err != nil {
			return fmt.Errorf("listing routing rules: %w", err)
		}
		there := map[string]bool{}
		var stale []netlink.Rule
		wanted := map[string]bool{}
		for _, r := range want {
			if r.Family == version {
				wanted[id(r)] = true
			}
		}
		for _, r := range have {
			if r.Priority < toResolver || r.Priority > lastRule {
				continue
			}
			r.Family = version
			if wanted[id(&r)] && !there[id(&r)] {
				there[id(&r)] = true
			} else {
				stale = append(stale, r)
			}
		}
		for _, r := range want {
			if r.Family == version && !there[id(r)] {
				if err := netlink.RuleAdd(r); err != nil {
					return fmt.Errorf("adding a routing rule: %w", err)
				}
			}
		}
		for _, r := range stale {
			if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("removing a routing rule: %w", err)
			}
		}
	}
	return defaults(q)
}

// id tells rules apart.
func id(r *netlink.Rule) string {
	uid := int64(-1)
	if r.UIDRange != nil {
		uid = int64(r.UIDRange.Start)
	}
	return fmt.Sprint(r.Priority, r.Table, r.Dst, r.Mark, r.Invert, r.SuppressPrefixlen, uid)
}

// rules are the routing rules of a policy.
func rules(q policy.Policy) (all []*netlink.Rule) {
	if q.Tunnel == nil {
		return nil
	}
	add := func(a netip.Addr, priority, table int, change func(*netlink.Rule)) {
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table = netlink.FAMILY_V6, priority, table
		if a.Is4() {
			r.Family = netlink.FAMILY_V4
		}
		change(r)
		all = append(all, r)
	}
	uids := q.Exclude
	if q.Portal != nil {
		uids = append(append([]uint32{}, uids...), q.Portal.UID)
	}
	for _, v := range versions(q) {
		for _, dns := range q.Tunnel.DNS {
			if dns.Is4() == v.Is4() {
				add(v, toResolver, routeTable, func(r *netlink.Rule) { r.Dst = ipNet(netip.PrefixFrom(dns, dns.BitLen())) })
			}
		}
		for _, uid := range uids {
			add(v, outside, unix.RT_TABLE_MAIN, func(r *netlink.Rule) { r.UIDRange = netlink.NewRuleUIDRange(uid, uid) })
		}
		if q.LAN {
			for _, n := range private {
				if n.Addr().Is4() == v.Is4() {
					add(v, toLAN, unix.RT_TABLE_MAIN, func(r *netlink.Rule) { r.Dst, r.SuppressPrefixlen = ipNet(n), 0 })
				}
			}
		}
		add(v, intoTunnel, routeTable, func(r *netlink.Rule) { r.Mark, r.Invert = ours, true })
	}
	return all
}

// defaults writes the routes of the tunnel's table. They go with the link, or
// with the last address of their version.
func defaults(q policy.Policy) error {
	if q.Tunnel == nil {
		return nil
	}
	l, err := netlink.LinkByName(link0)
	if err != nil {
		return fmt.Errorf("the tunnel's link: %w", err)
	}
	for _, v := range versions(q) {
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		scope := netlink.SCOPE_UNIVERSE
		if v.Is4() {
			all, scope = netip.PrefixFrom(netip.IPv4Unspecified(), 0), netlink.SCOPE_LINK
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(all), Table: routeTable, Scope: scope}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("the tunnel's route: %w", err)
		}
	}
	return nil
}

// dump lists something, again if it changed meanwhile.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 0; ; try++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == 5 {
			return all, err
		}
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
