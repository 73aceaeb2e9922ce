package firewall

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
)

// gatewayTable is the name of a gateway's table.
const gatewayTable = "leap-gateway"

// A Gateway is what a gateway's rules are made from. Its users come in by
// [node.TunnelDevice].
type Gateway struct {
	Port  uint16  // UDP, of WireGuard. Required.
	Entry []Entry // Where users come in, too.
	// API has the TCP ports of the lease API, at the addresses of Entry: users may
	// reach it through the tunnel.
	API []uint16
	// Tunnel has the gateway's own addresses among its users, with the length of
	// their network: one of IPv4, or one of IPv6, or both. Required.
	Tunnel []netip.Prefix
	// Egress has the node's addresses that the world sees users at, each of them
	// an equal share. A family without one: the address that the node would use
	// itself; but IPv6 users with addresses that are no unique local ones are
	// seen at their own, which somebody must route here.
	Egress []netip.Addr
	// Rate is what limited addresses ([SetLimited]) may send, and get, in bytes a
	// second. Required.
	Rate int64
}

// An Entry is ports of one of the node's addresses that lead to WireGuard.
type Entry struct {
	Addr  netip.Addr
	Ports []uint16 // UDP.
}

// GatewayText is the ruleset of a gateway, in the form of nft.
func GatewayText(g Gateway) string { return g.ruleset().String() }

// ApplyGateway makes the rules of a gateway's users these, and reports whether
// it changed anything. If so, no address is limited. It needs CAP_NET_ADMIN and
// nothing else. On an error the old rules stand.
func ApplyGateway(ctx context.Context, g Gateway) (bool, error) { return g.ruleset().apply(ctx) }

func (g Gateway) ruleset() table {
	return table{
		name: gatewayTable,
		sets: sets(),
		chains: []chain{
			{name: "senders", hook: "prerouting", priority: "raw", policy: accept, rules: g.senders()},
			{name: "ports", hook: "prerouting", priority: "dstnat", policy: accept, rules: g.ports()},
			{name: "input", policy: accept, rules: g.input()},
			closed("forward", g.forward()),
			{name: "egress", hook: "postrouting", priority: "srcnat", policy: accept, rules: g.egress()},
		},
	}
}

// senders has nobody claim the address of another.
func (g Gateway) senders() []rule {
	var rules []rule
	has := map[bool]bool{} // By whether it is IPv6.
	for _, own := range g.Tunnel {
		has[own.Addr().Is6()] = true
		rules = append(rules, rule{[]match{iif(node.TunnelDevice), fromNot(own)}, drop, "not a user's address"})
	}
	for _, six := range []bool{false, true} {
		if !has[six] {
			rules = append(rules, rule{[]match{iif(node.TunnelDevice), ofFamily(six)}, drop, "users have no such addresses"})
		}
	}
	return append(rules, rule{
		[]match{iifNot("lo"), iifNot(node.MeshDevice), iifNot(node.TunnelDevice), unroutable()}, drop, "not from there",
	})
}

// ports has all entry ports lead to WireGuard. What users send through the tunnel
// is left alone.
func (g Gateway) ports() []rule {
	var rules []rule
	for _, entry := range g.Entry {
		for _, p := range entry.Ports {
			rules = append(rules, rule{[]match{iifNot(node.TunnelDevice), at(entry.Addr), port("udp", p)}, redirect(g.Port), "another way in"})
		}
	}
	return rules
}

// input is for what users send to the node itself: names, pings and the lease API,
// and nothing that it has for the world or for its operator. The node's table has
// the last word.
func (g Gateway) input() []rule {
	user := iif(node.TunnelDevice)
	rules := append([]rule{{[]match{user, state("established", "related")}, accept, "answers"}}, beginnings()...)
	for _, own := range g.Tunnel {
		ping := icmp4("echo-request")
		if own.Addr().Is6() {
			ping = icmp6("echo-request")
		}
		rules = append(rules,
			rule{[]match{user, at(own.Addr()), port("udp", 53)}, accept, "names"},
			rule{[]match{user, at(own.Addr()), port("tcp", 53)}, accept, "names"},
			rule{[]match{user, at(own.Addr()), ping}, accept, "ping"},
		)
	}
	for _, entry := range g.Entry {
		for _, p := range g.API {
			rules = append(rules, rule{[]match{user, at(entry.Addr), port("tcp", p)}, accept, "leases"})
		}
	}
	return append(rules, rule{[]match{user}, drop, "nothing else is here"})
}

// public6 are the addresses of IPv6 that anybody has.
var public6 = netip.MustParsePrefix("2000::/3")

// private has users stay away from what is nobody's in the world: the provider's
// own networks, and the node's links.
func private(user match) []rule {
	var rules []rule
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
	} {
		rules = append(rules, rule{[]match{user, to(netip.MustParsePrefix(p))}, drop, "not of the world"})
	}
	return append(rules, rule{[]match{user, toNot(public6)}, drop, "not of the world"})
}

// blocked are the ports of the world that users do not reach: sending mail
// without an account, other resolvers than the gateway's, and what worms use.
var blocked = []struct {
	protocols   []string
	first, last uint16
}{
	{[]string{"tcp"}, 25, 25},
	{[]string{"tcp", "udp"}, 53, 53},
	{[]string{"udp"}, 69, 69},
	{[]string{"tcp", "udp"}, 135, 135},
	{[]string{"udp"}, 137, 138},
	{[]string{"tcp", "udp"}, 139, 139},
	{[]string{"tcp", "udp"}, 161, 162},
	{[]string{"tcp", "udp"}, 445, 445},
	{[]string{"udp"}, 514, 514},
	{[]string{"tcp"}, 4661, 4661},
	{[]string{"tcp"}, 4666, 4666},
}

func (g Gateway) forward() []rule {
	user := iif(node.TunnelDevice)
	rules := append([]rule{{[]match{state("invalid")}, drop, "invalid"}}, limits(g.Rate)...)
	rules = append(rules, []rule{
		{[]match{state("established", "related")}, accept, "answers"},
		{[]match{user, oif(node.TunnelDevice)}, drop, "users do not meet"},
	}...)
	rules = append(rules, beginnings()...)
	rules = append(rules, private(user)...)
	for _, b := range blocked {
		for _, protocol := range b.protocols {
			rules = append(rules, rule{[]match{user, ports(protocol, b.first, b.last)}, refuse(protocol), "blocked"})
		}
	}
	return append(rules, rule{[]match{user}, accept, "to the world"})
}

// egress gives users the address that the world sees.
func (g Gateway) egress() []rule {
	var rules []rule
	for _, own := range g.Tunnel {
		var out []netip.Addr
		for _, a := range g.Egress {
			if a.Is4() == own.Addr().Is4() {
				out = append(out, a)
			}
		}
		leaves := []match{from(own), oifNot(node.TunnelDevice), oifNot("lo")}
		switch {
		case len(out) == 0 && own.Addr().Is6() && !own.Addr().IsPrivate():
		case len(out) == 0:
			rules = append(rules, rule{leaves, masquerade, "as the node"})
		case len(out) == 1:
			rules = append(rules, rule{leaves, snat(out[0]), "as the gateway"})
		default:
			for i, a := range out {
				share := append(leaves[:len(leaves):len(leaves)], source.hashed(own.Addr().Is6(), i, len(out)))
				rules = append(rules, rule{share, snat(a), "as the gateway"})
			}
		}
	}
	return rules
}

var masquerade = action{"masquerade", []expr.Any{&expr.Masq{}}}

func snat(a netip.Addr) action {
	name, number := "ip ", uint32(unix.NFPROTO_IPV4)
	if a.Is6() {
		name, number = "ip6 ", unix.NFPROTO_IPV6
	}
	return action{"snat " + name + "to " + a.String(), []expr.Any{
		&expr.Immediate{Register: 1, Data: a.AsSlice()}, &expr.NAT{Type: expr.NATTypeSourceNAT, Family: number, RegAddrMin: 1},
	}}
}

func redirect(port uint16) action {
	return action{"redirect to :" + strconv.Itoa(int(port)), []expr.Any{
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)}, &expr.Redir{RegisterProtoMin: 1},
	}}
}

// refuse tells the sender.
func refuse(protocol string) action {
	if protocol == "tcp" {
		return action{"reject with tcp reset", []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}}
	}
	return action{"reject with icmpx admin-prohibited", []expr.Any{
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED},
	}}
}
