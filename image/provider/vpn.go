package provider

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"

	"leap.example/services/protocol/provider"
)

// Defaults of [VPN].
const (
	gatewayPort = 51821 // The mesh has 51820.
	ownPool     = "10.64.0.0/16"
)

// VPN is how users reach a node with the service gateway, and how their traffic
// leaves it. What leases are like is in the section gateway.
type VPN struct {
	// GatewayAddresses are where users reach the gateway, the preferred one first.
	// One that is not ip_address or ipv6_address has to be among the addresses of
	// network.interfaces. Default: ip_address and ipv6_address.
	GatewayAddresses []netip.Addr `json:"gateway_addresses"`
	// EgressAddresses are those from which users' traffic leaves, and the same
	// holds for them. Other than gateway_addresses, they cannot be blocked or
	// watched together with them. Default: what the machine chooses.
	EgressAddresses []netip.Addr `json:"egress_addresses"`
	Port            uint16       `json:"port"`      // UDP, of WireGuard. Default: 51821.
	Ports           []uint16     `json:"ports"`     // UDP, more of them, which lead to it. Default: 53, 80, 443, 1194.
	TLSPorts        []uint16     `json:"tls_ports"` // TCP, of the lease API and of WireGuard where UDP does not pass. Default: 443, 1194.

	IPv4 netip.Prefix `json:"ipv4"` // Of users in the tunnel. Default: 10.64.0.0/16.
	// IPv6 is the same, of fc00::/7: it is translated. Default, for a node with an
	// IPv6 address: one that follows from the node's name.
	IPv6         netip.Prefix `json:"ipv6"`
	RoutedPrefix netip.Prefix `json:"routed_prefix"` // In place of ipv6: a network that is routed to the node and not translated.

	// Private gateways are listed for those alone who have an invite token: leap
	// compile makes one, the secret node.NAME.gateway.token, a token a line.
	Private bool `json:"private"`
}

// Entries are the addresses by which users reach the gateway on a node.
func (n *Node) Entries() []netip.Addr {
	if len(n.VPN.GatewayAddresses) > 0 {
		return n.VPN.GatewayAddresses
	}
	return n.Addresses()
}

// defaultVPN puts in what the operator left out.
func (n *Node) defaultVPN(domain string) {
	v := &n.VPN
	if v.Port == 0 {
		v.Port = gatewayPort
	}
	if v.Ports == nil {
		v.Ports = []uint16{53, 80, 443, 1194}
	}
	if v.TLSPorts == nil {
		v.TLSPorts = []uint16{443, 1194}
	}
	if !v.IPv4.IsValid() {
		v.IPv4 = netip.MustParsePrefix(ownPool)
	}
	six := func(a netip.Addr) bool { return a.Is6() }
	if slices.ContainsFunc(n.Addresses(), six) || slices.ContainsFunc(v.EgressAddresses, six) {
		if !v.IPv6.IsValid() && !v.RoutedPrefix.IsValid() {
			v.IPv6 = localPrefix(n.Name + "." + domain)
		}
	}
}

// localPrefix is a network of RFC 4193 that is as good as random and always the
// same for a name.
func localPrefix(name string) netip.Prefix {
	sum := sha256.Sum256([]byte("leap vpn " + name))
	a := [16]byte{0: 0xfd}
	copy(a[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// checkVPN looks at a node with the service gateway.
func (i *Instance) checkVPN(n *Node) (errs []error) {
	failf := func(pointer, format string, args ...any) { errs = append(errs, n.Errorf(pointer, format, args...)) }
	v, p := n.VPN, i.Provider(n.Environment)
	for pointer, list := range map[string][]netip.Addr{"/vpn/gateway_addresses": v.GatewayAddresses, "/vpn/egress_addresses": v.EgressAddresses} {
		for k, a := range list {
			if !n.hasAddress(a) {
				failf(fmt.Sprint(pointer, "/", k), "%v is no address of the node: write it into network.interfaces, with the length of its network's prefix", a)
			}
		}
	}
	if v.Port == p.Mesh.Port {
		failf("/vpn/port", "UDP port %d is the mesh's: choose another one", v.Port)
	}
	for k, port := range v.Ports {
		if port == p.Mesh.Port && slices.ContainsFunc(n.Entries(), func(a netip.Addr) bool { return slices.Contains(n.Addresses(), a) }) {
			failf(fmt.Sprint("/vpn/ports/", k), "UDP port %d is the mesh's at the same address: leave it out, or give the gateway an address of its own in vpn.gateway_addresses", port)
		}
		if port == 0 || port == v.Port || slices.Index(v.Ports, port) != k {
			failf(fmt.Sprint("/vpn/ports/", k), "%d is no port, or is there already", port)
		}
	}
	for k, port := range v.TLSPorts {
		if port == 0 || slices.Index(v.TLSPorts, port) != k {
			failf(fmt.Sprint("/vpn/tls_ports/", k), "%d is no port, or is there already", port)
		}
	}
	if len(v.TLSPorts) == 0 {
		failf("/vpn/tls_ports", "one is required, for the lease API")
	}
	i.checkPools(n, failf)
	checkPlace(n, failf)
	return errs
}

// hasAddress reports whether a node has an address, as far as is known here.
func (n *Node) hasAddress(a netip.Addr) bool {
	if slices.Contains(n.Addresses(), a) {
		return true
	}
	for _, card := range n.Network.Interfaces {
		if slices.ContainsFunc(card.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true
		}
	}
	return false
}

// checkPools looks at the networks of users in the tunnel.
func (i *Instance) checkPools(n *Node, failf func(pointer, format string, args ...any)) {
	v, mesh := n.VPN, i.Provider(n.Environment).Mesh.Network
	local := netip.MustParsePrefix("fc00::/7")
	if p := v.IPv4; !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 || p.Bits() > 29 || !p.Addr().IsPrivate() {
		failf("/vpn/ipv4", "a private network from /8 to /29 is required, like %s", ownPool)
	}
	if p := v.IPv6; p.IsValid() && (p != p.Masked() || p.Bits() < 48 || p.Bits() > 112 || !local.Contains(p.Addr())) {
		failf("/vpn/ipv6", "a network of fc00::/7 from /48 to /112 is required; one that is routed to the node is vpn.routed_prefix")
	}
	if p := v.RoutedPrefix; p.IsValid() && (p != p.Masked() || p.Bits() < 48 || p.Bits() > 112 || !p.Addr().IsGlobalUnicast() || p.Addr().IsPrivate()) {
		failf("/vpn/routed_prefix", "a public network of IPv6 from /48 to /112 is required; others are vpn.ipv6")
	}
	if v.IPv6.IsValid() && v.RoutedPrefix.IsValid() {
		failf("/vpn/routed_prefix", "there is vpn.ipv6 (%s) too: one of the two", n.place("/vpn/ipv6"))
	}
	for pointer, p := range map[string]netip.Prefix{"/vpn/ipv4": v.IPv4, "/vpn/ipv6": v.IPv6} {
		if p.IsValid() && p.Overlaps(mesh) {
			failf(pointer, "%v overlaps the mesh's network, %v", p, mesh)
		}
	}
}

// checkPlace looks at what clients choose a gateway by.
func checkPlace(n *Node, failf func(pointer, format string, args ...any)) {
	l := n.Location
	if _, err := provider.ParseTimezone(l.Timezone); l.Timezone != "" && err != nil {
		failf("/location/timezone", "%v", err)
	}
	if len(l.CountryCode) != 2 && l.CountryCode != "" {
		failf("/location/country_code", "%q is no code of two letters, like NL", l.CountryCode)
	}
	if l.Latitude < -90 || l.Latitude > 90 || l.Longitude < -180 || l.Longitude > 180 {
		failf("/location/lat", "lat is -90 to 90 and lon -180 to 180, degrees")
	}
}
