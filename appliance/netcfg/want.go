package netcfg

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leap.example/appliance/node"
)

// ErrNoCard is wrapped by the error of [Net.Apply] about a card of the document
// that the machine does not have.
var ErrNoCard = errors.New("the machine has no such network card")

// firstMetric is the metric of the routes of the document's first card.
const firstMetric = 100

// find is the card of the machine that a document means.
func find(have []link, i node.Interface) (link, error) {
	for _, l := range have {
		if (i.Name == "" || i.Name == l.name) && (i.MAC == "" || i.MAC == l.mac) {
			return l, nil
		}
	}
	called := strings.TrimSpace(i.Name + " " + i.MAC)
	there := make([]string, 0, len(have))
	for _, l := range have {
		there = append(there, l.name+" "+l.mac)
	}
	return link{}, fmt.Errorf("%s: %w; there are: %s", called, ErrNoCard, strings.Join(there, ", "))
}

// A tenancy is what is known about the lease of one card.
type tenancy struct {
	asked bool  // The server has answered since this process runs, or the time was up.
	lease lease // The zero lease: none.
}

// wanted is how the network shall be, given how it is. What a card keeps by
// itself is part of it. The error is about cards that are not there; the rest of
// the state is good all the same.
func wanted(n node.Network, have state, leases map[string]tenancy, mtus map[string]int, cfg Config, now time.Time) (state, error) {
	want := state{loopback: true, files: map[string]string{}}
	var errs []error
	var leased []netip.Addr
	waiting := false
	named := map[string]bool{}
	for index, i := range n.Interfaces {
		is, err := find(have.links, i)
		if err == nil && named[is.name] {
			err = fmt.Errorf("%s: the document names this card twice", is.name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		named[is.name] = true
		t := leases[is.name]
		want.links = append(want.links, wantedLink(i, is, t, mtus[is.name], firstMetric+index, now))
		if i.DHCP {
			leased = append(leased, t.lease.nameservers...)
			waiting = waiting || !t.asked
		}
	}
	for _, is := range have.links {
		if !named[is.name] {
			want.links = append(want.links, link{name: is.name, mac: is.mac, mtu: is.mtu})
		}
	}
	want.files[cfg.ResolvConf] = resolvConf(n.Nameservers, leased)
	if old, ok := have.files[cfg.ResolvConf]; ok && waiting && len(n.Nameservers) == 0 {
		want.files[cfg.ResolvConf] = old // An agent that is new asks the old ones meanwhile.
	}
	want.files[cfg.Hosts] = hosts(n.Hosts)
	return want, errors.Join(errs...)
}

func wantedLink(i node.Interface, is link, t tenancy, cardMTU, metric int, now time.Time) link {
	l := link{name: is.name, mac: is.mac, up: true, mtu: cardMTU, settings: settings(is.name, i.Router)}
	switch {
	case i.MTU != 0:
		l.mtu = i.MTU
	case i.DHCP && !t.asked:
		l.mtu = is.mtu
	case i.DHCP && t.lease.mtu != 0:
		l.mtu = t.lease.mtu
	}
	for _, p := range i.Addresses {
		l.addresses = append(l.addresses, address{prefix: p})
	}
	for _, g := range i.Gateways {
		l.routes = append(l.routes, route{to: everywhere(g), via: g, metric: metric, from: fromStatic})
	}
	for _, a := range is.addresses {
		dynamic := a.left != 0 && !slices.ContainsFunc(l.addresses, func(b address) bool { return b.prefix == a.prefix })
		if dynamic && (a.prefix.Addr().Is4() && i.DHCP && !t.asked || !a.prefix.Addr().Is4() && i.Router) {
			l.addresses = append(l.addresses, a)
		}
	}
	for _, r := range is.routes {
		if r.from == fromDHCP && i.DHCP && !t.asked || r.from == fromRouter && i.Router {
			l.routes = append(l.routes, r)
		}
	}
	if left := t.lease.until.Sub(now); i.DHCP && left > 0 {
		if !slices.ContainsFunc(l.addresses, func(b address) bool { return b.prefix == t.lease.prefix }) {
			l.addresses = append(l.addresses, address{t.lease.prefix, left})
		}
		for _, r := range t.lease.routes {
			r.metric, r.from = metric, fromDHCP
			if !slices.ContainsFunc(l.routes, func(b route) bool { return b.key() == r.key() }) {
				l.routes = append(l.routes, r)
			}
		}
	}
	return l
}

// everywhere is the destination of a default route through g.
func everywhere(g netip.Addr) netip.Prefix {
	if g.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// settings are the ones of a card that is in use.
func settings(name string, router bool) map[string]string {
	accept, auto := "0", "0"
	if router {
		accept, auto = "2", "1" // 2: also if the node forwards.
	}
	return map[string]string{
		"ipv6/conf/" + name + "/accept_ra":           accept,
		"ipv6/conf/" + name + "/autoconf":            auto,
		"ipv6/conf/" + name + "/use_tempaddr":        "0", // A server keeps its address.
		"ipv6/conf/" + name + "/accept_redirects":    "0",
		"ipv4/conf/" + name + "/accept_redirects":    "0",
		"ipv4/conf/" + name + "/promote_secondaries": "1", // Else removing an address removes others.
	}
}

const written = "# Written by the agent from the node's document.\n"

func resolvConf(static, leased []netip.Addr) string {
	servers := static
	if len(servers) == 0 {
		servers = leased
	}
	var text strings.Builder
	text.WriteString(written)
	for _, s := range servers {
		text.WriteString("nameserver " + s.String() + "\n")
	}
	return text.String()
}

func hosts(names map[string][]netip.Addr) string {
	var text strings.Builder
	text.WriteString(written + "127.0.0.1 localhost\n::1 localhost\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, a := range names[name] {
			text.WriteString(a.String() + " " + name + "\n")
		}
	}
	return text.String()
}
