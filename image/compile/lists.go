package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"leap.example/appliance/node"
	"leap.example/image/provider"
)

// HostsText returns the names of an environment's services and nodes as
// /etc/hosts has them, for a machine that has no DNS of the provider yet.
func HostsText(i *provider.Instance, env string) string {
	names := map[*provider.Node][]string{}
	for _, h := range i.Hosts(env) {
		full := strings.TrimPrefix(h.Name+"."+i.Domain(env), ".")
		names[h.Nodes[0]] = append(names[h.Nodes[0]], full)
	}
	var s strings.Builder
	for _, n := range i.In(env, "") {
		for _, a := range n.Addresses() {
			fmt.Fprintf(&s, "%s\t%s\n", a, strings.Join(names[n], " "))
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
// front of the nodes.
func Ports(i *provider.Instance, docs map[string]node.Document) (list []Port) {
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		d, address := docs[name], i.Node(name).IPAddress.String()
		list = append(list, Port{name, address, "tcp", d.Agent.Port, "public", "agent"}, Port{name, address, "udp", d.Mesh.Port, "public", "mesh"})
		for _, service := range slices.Sorted(maps.Keys(d.Services)) {
			for _, l := range d.Services[service].Listeners {
				list = append(list, Port{name, address, l.Protocol, l.Port, l.From, service})
			}
		}
	}
	return list
}
