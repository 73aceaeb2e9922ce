package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"leap.example/appliance/node"
	"leap.example/image/provider"
)

// HostsText returns the names of an environment's services and nodes as
// /etc/hosts has them, for a machine that has no DNS of the provider yet.
func HostsText(i *provider.Instance, env string) string {
	names := map[netip.Addr][]string{}
	for _, h := range i.Hosts(env) {
		full := strings.TrimPrefix(h.Name+"."+i.Domain(env), ".")
		for _, a := range h.AddressesOf(h.Nodes[0]) {
			names[a] = append(names[a], full)
		}
	}
	var s strings.Builder
	for _, n := range i.In(env, "") {
		for _, a := range slices.Concat(n.Addresses(), n.VPN.GatewayAddresses) {
			if len(names[a]) > 0 {
				fmt.Fprintf(&s, "%s\t%s\n", a, strings.Join(names[a], " "))
				delete(names, a)
			}
		}
	}
	return s.String()
}

// A Port is one that is open on a node.
type Port struct {
	Node     string `json:"node"`
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	From     string `json:"from"` // "public" or "mesh".
	Service  string `json:"service"`
}

// Ports returns every port that documents open, for whoever has a firewall in
// front of the nodes. Those of gateways are at the addresses by which users reach
// them; what is for their users alone is not listed.
func Ports(i *provider.Instance, docs map[string]node.Document) (list []Port) {
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		d, n := docs[name], i.Node(name)
		address := n.IPAddress.String()
		list = append(list, Port{name, address, "tcp", d.Agent.Port, "public", "agent"}, Port{name, address, "udp", d.Mesh.Port, "public", "mesh"})
		for _, service := range slices.Sorted(maps.Keys(d.Services)) {
			if service == "gateway" {
				list = append(list, gatewayPorts(n)...)
				continue
			}
			for _, l := range d.Services[service].Listeners {
				if l.From != "tunnel" {
					list = append(list, Port{name, address, l.Protocol, l.Port, l.From, service})
				}
			}
		}
	}
	return list
}

func gatewayPorts(n *provider.Node) (list []Port) {
	for _, a := range n.Entries() {
		for _, port := range n.VPN.TLSPorts {
			list = append(list, Port{n.Name, a.String(), "tcp", port, "public", "gateway"})
		}
		for _, port := range datagramPorts(n) {
			list = append(list, Port{n.Name, a.String(), "udp", port, "public", "gateway"})
		}
	}
	return list
}
