package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leap.example/client/vpn/policy"
)

// Names and numbers of what this package makes.
const (
	table = "leap_vpn"
	rest  = "leap_vpn_rest" // Where traffic is open and sockets of a tunnel could not be destroyed.
	link0 = "leap0"         // The tunnel's link.

	ours     uint32 = 0x6c656170 // Mark of this process's sockets.
	excluded uint32 = 0x6c656171 // Mark of connections of users outside the tunnel.
)

// A verdict is what happens to a packet that a rule matches.
type verdict string

const (
	accept verdict = "accept"
	drop   verdict = "drop"
	reset  verdict = "reject with tcp reset"
	reject verdict = "reject with icmpx admin-prohibited"
)

// A rule is one line of a chain.
type rule struct {
	why     string // For people.
	verdict verdict
	matches []match
}

func (r rule) String() string {
	var b strings.Builder
	for _, m := range r.matches {
		b.WriteString(m.text + " ")
	}
	fmt.Fprintf(&b, "%s comment %q", r.verdict, r.why)
	return b.String()
}

// A chain is the rules of one hook of the kernel. One that is not open ends in a
// rule that lets nothing pass: Linux sets a new chain's policy to drop only after
// it has taken the old chain away, its rules before.
type chain struct {
	name  string // Of the hook too.
	open  bool   // The policy is to accept, else to drop.
	rules []rule
}

func (c *chain) add(why string, v verdict, matches ...match) {
	c.rules = append(c.rules, rule{why, v, matches})
}

// refuse rejects at once, so that programs do not wait for a timeout.
func (c *chain) refuse(why string, matches ...match) {
	c.add(why, reset, append(slices.Clone(matches), tcp())...)
	c.add(why, reject, matches...)
}

// Text is the ruleset of a policy in the form of nft: empty for Open.
func Text(p policy.Policy) string {
	var b strings.Builder
	for i, c := range ruleset(p, nil, true) {
		if i == 0 {
			b.WriteString("table inet " + table + " {\n")
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority filter; policy drop;\n", c.name, c.name)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%v\n", r)
		}
		b.WriteString("\t}\n")
	}
	if b.Len() > 0 {
		b.WriteString("}\n")
	}
	return b.String()
}

// The networks of the LAN switch: private use (RFC 1918), link-local (RFC 3927,
// RFC 4291), unique local (RFC 4193), and multicast that stays on site (RFC 2365,
// RFC 4291). A network of public addresses is no LAN, whatever its router says.
var (
	private   = nets("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fe80::/10 fc00::/7")
	multicast = nets("224.0.0.0/24 239.255.0.0/16 255.255.255.255/32 ff02::/16 ff05::/16")
)

// ruleset is what a policy asks for: nothing with Mode Open. It depends on
// nothing else but on the addresses that tunnels have had, of which there may be
// sockets, and on whether the kernel knows marks of connections.
func ruleset(p policy.Policy, gone []netip.Addr, marks bool) []chain {
	if p.Mode == policy.Open {
		if len(gone) == 0 {
			return nil
		}
		c := chain{name: "output", open: true}
		inside(&c, gone)
		return []chain{c}
	}
	return []chain{input(p), forward(p), output(p, gone, marks)}
}

// inside keeps connections that were made inside a tunnel from going on beside
// it, whoever has them and wherever else he may go.
func inside(c *chain, addresses []netip.Addr) {
	for _, a := range addresses {
		c.refuse("the tunnel's address by another link", oifNot("lo"), oifNot(link0), from(a))
	}
}

// input is about what others learn of this machine: what is not asked for gets
// no answer, and the tunnel's addresses exist on the tunnel alone (CVE-2019-14899).
func input(p policy.Policy) chain {
	c := chain{name: "input"}
	c.add("loopback", accept, iif("lo"))
	for _, a := range addresses(p) {
		c.add("the tunnel's address on another link", drop, iifNot(link0), to(a))
	}
	c.add("answers", accept, answers())
	c.add("DHCP", accept, sport("udp", 67), dport("udp", 68))
	c.add("DHCPv6", accept, fromNet(linkLocal), sport("udp", 547), dport("udp", 546))
	for _, kind := range []string{"nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"} {
		c.add("neighbours", accept, icmp6(kind), hopLimit(255))
	}
	c.add("listeners", accept, icmp6("mld-listener-query"), hopLimit(1))
	if p.LAN {
		for _, n := range private {
			c.add("LAN", accept, iifNot(link0), fromNet(n))
		}
	}
	c.add("all else", drop)
	return c
}

// forward treats containers and guests like the machine itself.
func forward(p policy.Policy) chain {
	c := chain{name: "forward"}
	resolvers(&c, p)
	for _, v := range versions(p) {
		c.add("tunnel", accept, oif(link0), version(v))
	}
	if p.Mode == policy.Tunnel {
		c.add("answers", accept, iif(link0), answers())
	}
	lan(&c, p)
	c.refuse("all else")
	return c
}

func output(p policy.Policy, gone []netip.Addr, marks bool) chain {
	c := chain{name: "output"}
	c.add("loopback", accept, oif("lo"))
	inside(&c, addresses(p))
	inside(&c, gone)
	if p.Tunnel != nil {
		c.add("gateway", accept, marked(ours), to(p.Tunnel.Endpoint.Addr()), dport(proto(p.Tunnel), p.Tunnel.Endpoint.Port()))
	}
	for _, a := range p.Reach {
		c.add("reach", accept, marked(ours), to(a.Addr()), dport("tcp", a.Port()))
		c.add("reach", accept, marked(ours), to(a.Addr()), dport("udp", a.Port()))
	}
	c.refuse("no other way for the helper", marked(ours))
	for _, uid := range p.Exclude {
		if marks {
			c.add("outside the tunnel", accept, of(uid), track(excluded))
		} else {
			c.add("outside the tunnel", accept, of(uid))
		}
	}
	if marks && len(p.Exclude) > 0 { // What a socket still sends after its process has closed it has no owner.
		c.add("outside the tunnel", accept, tracked(excluded), answers())
	}
	if w := p.Portal; w != nil {
		for _, port := range []match{dport("udp", 53), dport("tcp", 53), dport("tcp", 80), dport("tcp", 443)} {
			c.add("portal window", accept, of(w.UID), before(w.Until), port)
		}
	}
	resolvers(&c, p)
	for _, a := range addresses(p) {
		c.add("tunnel", accept, oif(link0), from(a))
	}
	c.add("DHCP", accept, to(netip.AddrFrom4([4]byte{255, 255, 255, 255})), sport("udp", 68), dport("udp", 67))
	for _, n := range dhcp6 {
		c.add("DHCPv6", accept, fromNet(linkLocal), toNet(n), sport("udp", 546), dport("udp", 547))
	}
	for _, kind := range []string{"nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert"} {
		c.add("neighbours", accept, icmp6(kind), hopLimit(255))
	}
	for _, kind := range []string{"mld-listener-report", "mld-listener-done", "mld2-listener-report"} {
		c.add("listeners", accept, icmp6(kind), hopLimit(1))
	}
	lan(&c, p)
	c.refuse("all else")
	return c
}

var (
	linkLocal = netip.MustParsePrefix("fe80::/10")
	dhcp6     = nets("ff02::1:2/128 ff05::1:3/128") // RFC 8415, 7.1.
)

// resolvers lets questions about names go to the tunnel's resolvers through the
// tunnel, and nowhere else, the LAN included. LLMNR (port 5355) is a question
// about a name too.
func resolvers(c *chain, p policy.Policy) {
	if p.Tunnel != nil {
		for _, a := range p.Tunnel.DNS {
			c.add("resolver", accept, oif(link0), to(a), dport("udp", 53))
			c.add("resolver", accept, oif(link0), to(a), dport("tcp", 53))
		}
	}
	for _, number := range []uint16{53, 5355} {
		c.add("other resolvers", reset, dport("tcp", number))
		c.add("other resolvers", reject, dport("udp", number))
	}
}

func lan(c *chain, p policy.Policy) {
	if !p.LAN {
		return
	}
	for _, n := range slices.Concat(private, multicast) {
		c.add("LAN", accept, oifNot(link0), toNet(n))
	}
}

// proto is what carries the tunnel.
func proto(l *policy.Link) string {
	if l.Wrap != nil {
		return "tcp"
	}
	return "udp"
}

// addresses are those of this end of the tunnel.
func addresses(p policy.Policy) (all []netip.Addr) {
	if p.Tunnel != nil {
		for _, a := range p.Tunnel.Addresses {
			all = append(all, a.Addr())
		}
	}
	return all
}

// versions has one address of each version of IP that the tunnel carries.
func versions(p policy.Policy) (all []netip.Addr) {
	for _, a := range addresses(p) {
		if !slices.ContainsFunc(all, func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			all = append(all, a)
		}
	}
	return all
}
