package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/image/provider"
	"leap.example/qemu/local"
)

// inLab returns what says how a node is dialled: nil is by the network of this
// machine, anything else leads to the machines that run here. Nodes of the
// environment "local" are nowhere else.
func (a *app) inLab(ctx context.Context, i *provider.Instance) (func(*provider.Node) (dialer, error), error) {
	c, lab, err := a.lab(ctx, i)
	if err != nil {
		return nil, err
	}
	told := false
	return func(n *provider.Node) (dialer, error) {
		in := slices.ContainsFunc(lab.Nodes, func(m local.Machine) bool { return m.Name == n.Name })
		switch {
		case !in && n.Environment == localEnv:
			return nil, fmt.Errorf("%s is a machine of \"leap local\", and is not running: leap local start", n.Name)
		case !in:
			return nil, nil
		case n.Environment != localEnv && !told:
			told = true
			a.warnf("%s is reached in \"leap local\", as long as that runs", n.Name)
		}
		return c.Dial, nil
	}, nil
}

// live returns the nodes that words choose, to be reached. Where there are others,
// machines of "leap local" are reached only when they are named.
func (a *app) live(i *provider.Instance, words []string) ([]*provider.Node, error) {
	nodes, err := a.nodes(i, words, false)
	if len(words) > 0 || a.env != "" {
		return nodes, err
	}
	elsewhere := slices.DeleteFunc(slices.Clone(nodes), func(n *provider.Node) bool { return n.Environment == localEnv })
	if len(elsewhere) > 0 {
		return elsewhere, err
	}
	return nodes, err
}

// A dialer opens connections, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// localTag is tags/local.json.
const localTag = `// Nodes that are virtual machines on an operator's own ("leap local").
{
	"environment": "local",
	// Soon good: they are there to try things out.
	"gate": {"ready": "5m", "watch": "5s"},
	// What stands in the place of the world's name servers there; its names are not signed.
	"dns": {"resolver": {"upstreams": ["10.5.5.1:53"], "dnssec": "off"}},
}
`

// localNetwork is where nodes are that name no other address; the first address is
// what stands around them.
var localNetwork = netip.MustParsePrefix("10.5.5.0/24")

// localSeeds adds to seeds what makes a node one of "leap local".
func localSeeds(i *provider.Instance, seeds []string) ([]string, error) {
	tagged := false
	address := netip.Addr{}
	for _, seed := range seeds {
		tagged = tagged || strings.HasPrefix(seed, "tags:")
		if text, ok := strings.CutPrefix(seed, "ip_address:"); ok {
			var err error
			if address, err = netip.ParseAddr(text); err != nil {
				return nil, err
			}
		}
	}
	if tagged {
		return nil, errors.New("--local gives the node its tag: add others to its file")
	}
	if !address.IsValid() {
		for address = localNetwork.Addr().Next().Next(); ; address = address.Next() {
			if !slices.ContainsFunc(i.Nodes, func(n *provider.Node) bool { return n.IPAddress == address }) {
				break
			}
		}
		if !localNetwork.Contains(address.Next()) {
			return nil, fmt.Errorf("%v has no address left: give one, like ip_address:10.5.6.2", localNetwork)
		}
		seeds = append(slices.Clone(seeds), "ip_address:"+address.String())
	}
	if _, err := os.Stat(filepath.Join(i.Dir, "tags", "local.json")); errors.Is(err, fs.ErrNotExist) {
		if err := provider.Write(i.Dir, "tags/local.json", []byte(localTag), 0o644); err != nil {
			return nil, err
		}
	}
	return append(slices.Clone(seeds), "tags:local"), nil
}
