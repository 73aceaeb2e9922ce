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
	d.Services = map[string]node.Service{"gateway": {Net: true, Listeners: []node.Listener{{Protocol: "udp", Port: 443, From: "public"}}}}
	return d
}

func TestText(t *testing.T) {
	for name, d := range map[string]node.Document{"waiting": waiting(), "web": web(), "gateway": gateway()} {
		t.Run(name, func(t *testing.T) {
			path, text := filepath.Join("testdata", name+".nft"), firewall.Text(d)
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
