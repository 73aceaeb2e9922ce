package firewall_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// waiting is a node that has no document yet: only its agent is reached.
func waiting() node.Document { return node.Document{Agent: node.Agent{Port: 4430}} }

func web() node.Document {
	d := waiting()
	d.Network.Interfaces = []node.Interface{{Name: "eth0", Router: true}}
	d.Mesh = &node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820}
	d.Updates = &node.Updates{Mirror: &node.Mirror{Port: 4480}}
	d.Services = map[string]node.Service{
		"webapp":   {Listeners: []node.Listener{{Protocol: "tcp", Port: 443, From: "public"}, {Protocol: "tcp", Port: 8080, From: "mesh"}}},
		"dns":      {Listeners: []node.Listener{{Protocol: "udp", Port: 53, From: "public"}, {Protocol: "tcp", Port: 53, From: "public"}}},
		"bigcouch": {Listeners: []node.Listener{{Protocol: "tcp", Port: 5984, From: "mesh"}}},
	}
	return d
}

func gateway() node.Document {
	d := web()
	d.Network.Interfaces[0].Router = false
	d.Mesh.Address = netip.MustParsePrefix("fd00:9::1/48")
	d.Services = map[string]node.Service{
		"gateway": {Net: true, Listeners: []node.Listener{{Protocol: "udp", Port: 51821, From: "public"}, {Protocol: "tcp", Port: 443, From: "public"}}},
		"dns":     {Listeners: []node.Listener{{Protocol: "udp", Port: 53, From: "tunnel"}, {Protocol: "tcp", Port: 53, From: "tunnel"}}},
	}
	return d
}

// tunnel is a gateway with everything.
func tunnel() firewall.Gateway {
	return firewall.Gateway{
		Port:   51821,
		Entry:  entries("192.0.2.5", "2001:db8::5"),
		Tunnel: []netip.Prefix{netip.MustParsePrefix("10.64.0.1/16"), netip.MustParsePrefix("fd00:64::1/64")},
		Egress: []netip.Addr{netip.MustParseAddr("192.0.2.6"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::6")},
		API:    []uint16{443, 1194},
		Rate:   102400,
	}
}

func entries(addresses ...string) (all []firewall.Entry) {
	for _, a := range addresses {
		all = append(all, firewall.Entry{Addr: netip.MustParseAddr(a), Ports: []uint16{53, 80, 443, 1194, 51820}})
	}
	return all
}

// routed is a gateway without addresses of its own, whose users of IPv6 have
// addresses that are routed to it.
func routed() firewall.Gateway {
	g := tunnel()
	g.Entry, g.Egress = nil, nil
	g.Tunnel[1] = netip.MustParsePrefix("2001:db8:64::1/64")
	return g
}

func TestText(t *testing.T) {
	only4 := routed()
	only4.Tunnel = only4.Tunnel[:1]
	for name, text := range map[string]string{
		"waiting": firewall.Text(waiting()), "web": firewall.Text(web()), "gateway": firewall.Text(gateway()),
		"tunnel": firewall.GatewayText(tunnel()), "routed": firewall.GatewayText(routed()), "only4": firewall.GatewayText(only4),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".nft")
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
		})
	}
}
