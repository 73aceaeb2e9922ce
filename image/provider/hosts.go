package provider

import (
	"net/netip"
	"slices"

	"leap.example/appliance/node"
)

// offered are the names below the provider's domain at which a service is
// found; "" is the domain itself.
var offered = map[string][]string{
	"webapp":     {"", "api", "openpgpkey"},
	"nickserver": {"nicknym"},
	"soledad":    {"soledad"},
	"mx":         {"mx"},
	"relay":      {"smtp"},
	"dns":        {"ns"},
	"gateway":    {"vpn"},
}

// aliases are names that no node may have.
var aliases = []string{"api", "openpgpkey", "nicknym", "soledad", "mx", "smtp", "ns", "vpn", "mta-sts", "www", "node"}

// A Host is a name below the provider's domain.
type Host struct {
	Name  string // Relative. "": the domain itself.
	Nodes []*Node

	entry bool // It is by what users of gateways reach them.
}

// AddressesOf are the addresses that one of the host's nodes has under its name.
func (h Host) AddressesOf(n *Node) []netip.Addr {
	if h.entry {
		return n.Entries()
	}
	return n.Addresses()
}

// Addresses are those of all nodes.
func (h Host) Addresses() (list []netip.Addr) {
	for _, n := range h.Nodes {
		list = append(list, h.AddressesOf(n)...)
	}
	return list
}

// Hosts returns the names of the services of an environment, and then those of
// its nodes. Private gateways, and nodes that are nothing else, have none: names
// can be guessed.
func (i *Instance) Hosts(env string) (list []Host) {
	for _, service := range []string{"webapp", "nickserver", "soledad", "mx", "relay", "dns", "gateway"} {
		nodes := i.In(env, service)
		switch service {
		case "dns":
			nodes = i.NameServers(env)
		case "gateway":
			nodes = slices.DeleteFunc(nodes, func(n *Node) bool { return n.VPN.Private })
		}
		for _, name := range offered[service] {
			if len(nodes) > 0 {
				list = append(list, Host{name, nodes, service == "gateway"})
			}
		}
	}
	for _, n := range i.In(env, "") {
		if !n.hidden() {
			list = append(list, Host{Name: n.Name, Nodes: []*Node{n}})
		}
	}
	return list
}

// hidden reports whether a node is a private gateway and nothing else.
func (n *Node) hidden() bool {
	return n.Has("gateway") && n.VPN.Private && !slices.ContainsFunc(n.Services, func(s string) bool { return s != "gateway" })
}

// Addresses are those by which the world reaches a node.
func (n *Node) Addresses() []netip.Addr {
	list := []netip.Addr{n.IPAddress}
	if n.IPv6Address.IsValid() {
		list = append(list, n.IPv6Address)
	}
	return list
}

// FullName is the node's name in DNS.
func (i *Instance) FullName(n *Node) string { return n.Name + "." + i.Domain(n.Environment) }

// AgentName is the name in the certificate of the node's agent.
func (i *Instance) AgentName(n *Node) string { return node.ServerName(n.Name, i.Domain(n.Environment)) }

// certNames are the names in the certificate by which a node's services prove
// themselves.
func (i *Instance) certNames(n *Node) []string {
	names := []string{i.FullName(n)}
	for _, h := range i.Hosts(n.Environment) {
		full := i.Domain(n.Environment)
		if h.Name != "" {
			full = h.Name + "." + full
		}
		if slices.Contains(h.Nodes, n) && !slices.Contains(names, full) {
			names = append(names, full)
		}
	}
	return names
}

// FreeMesh returns the first address of an environment's mesh that no node of
// the instance has: addresses are not given twice as long as a node's file is
// there.
func (i *Instance) FreeMesh(env string) netip.Addr {
	network := i.Provider(env).Mesh.Network
	for a := network.Addr().Next(); network.Contains(a); a = a.Next() {
		taken := slices.ContainsFunc(i.Nodes, func(n *Node) bool { return n.Mesh.Address == a })
		if !taken && network.Contains(a.Next()) { // The last one is IPv4's broadcast address.
			return a
		}
	}
	return netip.Addr{}
}
