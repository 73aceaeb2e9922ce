package netcfg

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; with -update it becomes:\n%s", path, text)
	}
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func only(i node.Interface) node.Network { return node.Network{Interfaces: []node.Interface{i}} }

var (
	static = only(node.Interface{
		Name: "eth0", Addresses: prefixes("192.0.2.5/24", "2001:db8::5/64"), Gateways: addrs("192.0.2.1", "fe80::1"),
	})
	leased = only(node.Interface{MAC: "52:54:00:00:00:01", DHCP: true})
)

// A step is an event, and the network that is wanted after it.
type step struct {
	name string
	do   func(*fake, *Net)
	want node.Network
}

// grant is a server's answer, for card eth0.
func grant(address string, left time.Duration, via ...string) func(*fake, *Net) {
	return func(_ *fake, n *Net) {
		l := lease{prefix: netip.MustParsePrefix(address), until: time.Now().Add(left), nameservers: addrs("192.0.2.53"), mtu: 1400}
		for _, v := range via {
			l.routes = append(l.routes, route{to: everywhere(netip.MustParseAddr(v)), via: netip.MustParseAddr(v)})
		}
		n.leases["eth0"] = tenancy{asked: true, lease: l}
	}
}

func TestPlans(t *testing.T) {
	both := static
	both.Interfaces = append(both.Interfaces[:1:1], node.Interface{
		Name: "eth1", MTU: 9000, Addresses: prefixes("198.51.100.5/24"), Gateways: addrs("198.51.100.1"),
	})
	both.Nameservers = addrs("192.0.2.53", "2001:db8::53")
	both.Hosts = map[string][]netip.Addr{"b.example.org": addrs("10.9.0.2"), "a.example.org": addrs("10.9.0.1", "2001:db8::1")}
	swapped := both
	swapped.Interfaces = []node.Interface{both.Interfaces[1], both.Interfaces[0]}
	moved := only(node.Interface{Name: "eth0", Addresses: prefixes("192.0.2.6/24"), Gateways: addrs("192.0.2.254")})
	wider := only(node.Interface{Name: "eth0", Addresses: prefixes("192.0.2.5/23", "2001:db8::5/56"), Gateways: addrs("192.0.2.1", "fe80::1")})
	router := only(node.Interface{Name: "eth0", Router: true, Addresses: prefixes("192.0.2.5/24")})
	advertised := func(f *fake, _ *Net) {
		l := &f.is.links[0]
		l.addresses = append(l.addresses, address{netip.MustParsePrefix("2001:db8:1::5054:ff:fe00:1/64"), time.Hour})
		l.routes = append(l.routes, route{everywhere(netip.IPv6Unspecified()), netip.MustParseAddr("fe80::1"), 1024, fromRouter})
	}
	for name, steps := range map[string][]step{
		"static":   {{"first", nil, static}, {"moved", nil, moved}, {"wider", nil, static}, {"wider", nil, wider}},
		"two":      {{"first", nil, both}, {"the other first", nil, swapped}, {"one goes", nil, static}},
		"router":   {{"first", nil, router}, {"advertised", advertised, router}, {"no more", nil, static}},
		"dhcp":     {{"first", nil, leased}, {"granted", grant("192.0.2.9/24", time.Hour, "192.0.2.1"), leased}, {"renewed", grant("192.0.2.9/24", 2*time.Hour, "192.0.2.1"), leased}, {"another", grant("192.0.2.10/24", time.Hour, "192.0.2.254"), leased}, {"lost", func(_ *fake, n *Net) { n.leases["eth0"] = tenancy{asked: true} }, leased}},
		"cloud":    {{"one address", grant("203.0.113.7/32", time.Hour, "10.0.0.1"), leased}, {"static", nil, static}},
		"restart":  {{"granted", grant("192.0.2.9/24", time.Hour, "192.0.2.1"), leased}, {"the agent is new", func(_ *fake, n *Net) { clear(n.leases) }, leased}, {"the same again", grant("192.0.2.9/24", time.Hour, "192.0.2.1"), leased}, {"made static", nil, only(node.Interface{Name: "eth0", Addresses: prefixes("192.0.2.9/24"), Gateways: addrs("192.0.2.1")})}},
		"foreign":  {{"a stranger's address and route", foreign, static}},
		"no-ipv6":  {{"a kernel without IPv6", func(f *fake, _ *Net) { delete(f.is.links[0].settings, "ipv6/conf/eth0/accept_ra") }, moved}},
		"nametags": {{"name and address", nil, only(node.Interface{Name: "eth1", MAC: "52:54:00:00:00:02", DHCP: true})}},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := newFake(t)
			var b strings.Builder
			for _, s := range steps {
				if s.do != nil {
					s.do(f, n)
				}
				done, err := n.Apply(t.Context(), s.want)
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				b.WriteString("== " + s.name + "\n" + strings.Join(done, "\n") + "\n-- then\n" + f.is.String())
				if again, err := n.Apply(t.Context(), s.want); len(again) > 0 || err != nil {
					t.Errorf("%s: applied again it does %v, %v", s.name, again, err)
				}
			}
			golden(t, name+".golden", b.String())
		})
	}
}

// foreign is what somebody else left on both cards.
func foreign(f *fake, _ *Net) {
	for i, via := range []string{"192.0.2.77", "192.0.2.88"} {
		l := &f.is.links[i]
		l.up = true
		l.addresses = []address{{prefix: netip.MustParsePrefix("192.0.2.66/24")}}
		l.routes = []route{{to: netip.MustParsePrefix("10.0.0.0/8"), via: netip.MustParseAddr(via), metric: i, from: fromBoot}}
	}
	f.is.files["/tmp/resolv.conf"] = "nameserver 192.0.2.99\n"
}

func TestCardsThatAreNotThere(t *testing.T) {
	for name, i := range map[string]node.Interface{
		"by name":       {Name: "eth7"},
		"by address":    {MAC: "52:54:00:00:00:99"},
		"both disagree": {Name: "eth0", MAC: "52:54:00:00:00:02"},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := newFake(t)
			network := static
			network.Interfaces = append(network.Interfaces[:1:1], i)
			ctx, cancel := contextThatIsDone(t)
			defer cancel()
			_, err := n.Apply(ctx, network)
			if !errors.Is(err, ErrNoCard) {
				t.Fatalf("got %v, want ErrNoCard", err)
			}
			if !strings.Contains(err.Error(), "eth1 52:54:00:00:00:02") {
				t.Errorf("the error does not name the cards that are there: %v", err)
			}
			if len(f.is.links[0].addresses) != 2 {
				t.Errorf("the card that is there was not set up: %v", f.is)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		_, n := newFake(t)
		network := static
		network.Interfaces = append(network.Interfaces[:1:1], node.Interface{MAC: "52:54:00:00:00:01", DHCP: true})
		if _, err := n.Apply(t.Context(), network); err == nil || !strings.Contains(err.Error(), "names this card twice") {
			t.Errorf("got %v", err)
		}
	})
}

func contextThatIsDone(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}
