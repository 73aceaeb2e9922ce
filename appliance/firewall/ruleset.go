package firewall

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"leap.example/appliance/node"
)

// nodeTable is the name of the table of every node.
const nodeTable = "leap"

// Text is the ruleset of a document, in the form of nft.
func Text(d node.Document) string { return ruleset(d).String() }

// ruleset is what a document asks for. It depends on nothing else.
func ruleset(d node.Document) table {
	return table{name: nodeTable, chains: []chain{
		closed("input", input(d)),
		closed("forward", forward(d)),
		{name: "output", policy: accept, rules: output(d)},
	}}
}

func input(d node.Document) []rule {
	rules := []rule{{[]match{iif("lo")}, accept, "loopback"}}
	if d.Mesh != nil {
		rules = append(rules, rule{[]match{from(d.Mesh.Address), iifNot(node.MeshDevice)}, drop, "not by the mesh"})
	}
	rules = append(rules,
		// To the kernel, pings with one identifier are a connection: limit them before it is one.
		rule{[]match{icmp4("echo-request"), over(20)}, drop, "too many pings"},
		rule{[]match{icmp6("echo-request"), over(20)}, drop, "too many pings"},
		rule{[]match{state("established", "related")}, accept, "answers"},
		rule{[]match{state("invalid")}, drop, "invalid"},
	)
	rules = append(rules, icmp(d)...)
	agent := []match{port("tcp", d.Agent.Port)}
	if d.Gateway() {
		agent = append([]match{iifNot(node.TunnelDevice)}, agent...)
	}
	rules = append(rules, rule{agent, accept, "agent"})
	if d.Mesh != nil {
		rules = append(rules, rule{[]match{iifNot(node.MeshDevice), port("udp", d.Mesh.Port)}, accept, "mesh"})
	}
	if d.Mesh != nil && d.Updates != nil && d.Updates.Mirror != nil {
		rules = append(rules, rule{[]match{iif(node.MeshDevice), port("tcp", d.Updates.Mirror.Port)}, accept, "copies of releases"})
	}
	return append(rules, listeners(d)...)
}

func icmp(d node.Document) []rule {
	var rules []rule
	for _, kind := range []string{"destination-unreachable", "time-exceeded", "parameter-problem"} {
		rules = append(rules, rule{[]match{icmp4(kind)}, accept, "errors"})
	}
	for _, kind := range []string{"destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"} {
		rules = append(rules, rule{[]match{icmp6(kind)}, accept, "errors"})
	}
	neighbours := []string{"nd-neighbor-solicit", "nd-neighbor-advert"}
	if slices.ContainsFunc(d.Network.Interfaces, func(i node.Interface) bool { return i.Router }) {
		neighbours = append(neighbours, "nd-router-advert")
	}
	for _, kind := range neighbours {
		rules = append(rules, rule{[]match{hopLimit(255), icmp6(kind)}, accept, "the link itself"})
	}
	return append(rules,
		rule{[]match{icmp6("mld-listener-query")}, accept, "multicast"},
		rule{[]match{icmp4("echo-request")}, accept, "ping"},
		rule{[]match{icmp6("echo-request")}, accept, "ping"},
	)
}

// listeners opens the ports of services, each once.
func listeners(d node.Document) []rule {
	names := map[node.Listener][]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		for _, l := range d.Services[name].Listeners {
			if !slices.Contains(names[l], name) {
				names[l] = append(names[l], name)
			}
		}
	}
	all := slices.SortedFunc(maps.Keys(names), func(a, b node.Listener) int {
		return cmp.Or(cmp.Compare(b.From, a.From), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	var rules []rule
	for _, l := range all {
		where := map[string]match{"public": iifNot(node.MeshDevice), "mesh": iif(node.MeshDevice), "tunnel": iif(node.TunnelDevice)}[l.From]
		rules = append(rules, rule{[]match{where, port(l.Protocol, l.Port)}, accept, strings.Join(names[l], ", ")})
	}
	return rules
}

// forward lets a gateway's own rules decide about what its users send and get,
// and about nothing else.
func forward(d node.Document) []rule {
	if !d.Gateway() {
		return nil
	}
	rules := []rule{
		{[]match{iif(node.MeshDevice)}, drop, "from the mesh"},
		{[]match{oif(node.MeshDevice)}, drop, "to the mesh"},
	}
	if d.Mesh != nil {
		rules = append(rules,
			rule{[]match{from(d.Mesh.Address)}, drop, "from the mesh's addresses"},
			rule{[]match{to(d.Mesh.Address)}, drop, "to the mesh's addresses"},
		)
	}
	return append(rules,
		rule{[]match{iif(node.TunnelDevice)}, accept, "from the gateway's users"},
		rule{[]match{oif(node.TunnelDevice)}, accept, "to the gateway's users"},
	)
}

func output(d node.Document) []rule {
	if d.Mesh == nil {
		return nil
	}
	return []rule{{[]match{to(d.Mesh.Address), oifNot(node.MeshDevice), oifNot("lo")}, drop, "in clear beside the mesh"}}
}
