package provider_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

var update = flag.Bool("update", false, "write the golden files anew")

func gateways(t testing.TB) provider.GatewayList {
	t.Helper()
	l, err := provider.ParseGateways(read(t, "gateways.json"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestEIP: those who know OpenVPN alone are shown no gateway that they could
// dial, and in version 3 no private one.
func TestEIP(t *testing.T) {
	l := gateways(t)
	text, err := json.Marshal(l.EIP())
	if want := `{"serial":1,"version":1,"gateways":[],"locations":{}}`; err != nil || string(text) != want {
		t.Errorf("version 1 is %s, %v, want %s", text, err, want)
	}
	if text, err = json.MarshalIndent(l.EIP3("anon"), "", "  "); err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile("testdata/eip-service3.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, "eip-service3.json")), string(text)); diff != "" {
		t.Errorf("version 3 (-want +got):\n%s", diff)
	}
	got, err := provider.ParseEIP3(text)
	if diff := cmp.Diff(l.EIP3("anon"), got); err != nil || diff != "" {
		t.Errorf("read again: %v\n%s", err, diff)
	}
	for _, g := range got.Gateways {
		for _, tr := range g.Capabilities.Transport {
			if tr.Type == "openvpn" || g.Host == "gw3.example.org" {
				t.Errorf("it offers %+v", g)
			}
		}
	}
	if doc, err := json.Marshal(provider.GatewayList{}.EIP3("")); err != nil || string(doc) != `{"serial":1,"version":3,"gateways":[],"locations":{}}` {
		t.Errorf("of no gateway it is %s, %v", doc, err)
	}
	only6 := l.Only(func(g provider.Gateway) bool { return g.Name == "gw3" })
	only6.Gateways[0].Private = false
	if g := only6.EIP3("").Gateways[0]; g.IPAddress != "2001:db8::9" || g.IPAddress6 != "2001:db8::9" || len(only6.Locations) != 0 {
		t.Errorf("a gateway with IPv6 alone is %+v", g)
	}
}

func TestParseEIP3(t *testing.T) {
	const gateway = `{"version":3,"gateways":[{"host":"a","ip_address":"192.0.2.1","capabilities":{"transport":[`
	for doc, ok := range map[string]bool{
		gateway + `]}}]}`: true,
		gateway + `{"type":"wireguard","ports":["443"],"options":{"lease_port":"443"}}]}}]}`:         true,
		gateway + `{"type":"obfs4","ports":["x"]}]}}]}`:                                              true,
		gateway + `{"type":"wireguard","ports":["0"]}]}}]}`:                                          false,
		gateway + `{"type":"wireguard","ports":["65536"]}]}}]}`:                                      false,
		gateway + `{"type":"wireguard","options":{"lease_port":"x"}}]}}]}`:                           false,
		`{"version":1,"gateways":[]}`:                                                                false,
		`{"version":4,"gateways":[{"host":"a","ip_address":"192.0.2.1"}]}`:                           true,
		`{"version":4,"gateways":[{"host":"a","ip_address":"x"}]}`:                                   false,
		`{"version":4,"gateways":[{"host":"","ip_address":"192.0.2.1"}]}`:                            false,
		`{"version":4,"gateways":[{"host":"a","ip_address":"192.0.2.1","ip_address6":"x"}]}`:         false,
		`{"version":4,"gateways":[{"host":"a","ip_address":"192.0.2.1","ip_address6":"192.0.2.1"}]}`: false,
		`x`: false,
	} {
		if _, err := provider.ParseEIP3([]byte(doc)); (err == nil) != ok || err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestValidateGateways(t *testing.T) {
	for name, spoil := range map[string]func(*provider.Gateway){
		"name":      func(g *provider.Gateway) { g.Name = "" },
		"host":      func(g *provider.Gateway) { g.Host = "a b" },
		"twice":     func(g *provider.Gateway) { g.Name = "gw2" },
		"place":     func(g *provider.Gateway) { g.Location = "atlantis" },
		"address":   func(g *provider.Gateway) { g.Addresses = nil },
		"multicast": func(g *provider.Gateway) { g.Addresses[0] = netip.MustParseAddr("224.0.0.1") },
		"zone":      func(g *provider.Gateway) { g.Addresses[0] = netip.MustParseAddr("fe80::1%eth0") },
		"port":      func(g *provider.Gateway) { g.LeasePorts = nil },
		"port 0":    func(g *provider.Gateway) { g.LeasePorts[0] = 0 },
		"load":      func(g *provider.Gateway) { g.Load = 8 },
		"transport": func(g *provider.Gateway) { g.Transports[0].Ports = nil },
		"protocol":  func(g *provider.Gateway) { g.Transports[0].Proto = "" },
	} {
		l := gateways(t)
		spoil(&l.Gateways[0])
		if err := l.Validate(); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := provider.ParseGateways([]byte(`[`)); !errors.Is(err, problem.Invalid) {
		t.Errorf("no JSON: %v", err)
	}
}

// TestSort goes through what decides, one after the other.
func TestSort(t *testing.T) {
	zone := func(h float64) *float64 { return &h }
	for _, tt := range []struct {
		name   string
		wish   provider.GatewayWish
		change func(provider.GatewayList)
		want   string
	}{
		{"load", provider.GatewayWish{}, nil, "gw2 gw1 gw3"},
		{"zone", provider.GatewayWish{Timezone: zone(-6)}, nil, "gw1 gw2 gw3"},
		{"other zone", provider.GatewayWish{Timezone: zone(3)}, nil, "gw2 gw1 gw3"},
		{"around the earth", provider.GatewayWish{Timezone: zone(12)}, nil, "gw1 gw2 gw3"}, // 7 hours to New York, 11 to Amsterdam.
		{"place before zone", provider.GatewayWish{Location: "amsterdam", Timezone: zone(-5)}, nil, "gw2 gw1 gw3"},
		{"health before all", provider.GatewayWish{Location: "amsterdam"}, func(l provider.GatewayList) { l.Gateways[1].Healthy = false }, "gw1 gw2 gw3"},
		{"no zone is far", provider.GatewayWish{Timezone: zone(1)}, func(l provider.GatewayList) { l.Gateways[2].Healthy = true }, "gw2 gw1 gw3"},
	} {
		l := gateways(t)
		if tt.change != nil {
			tt.change(l)
		}
		l.Sort(tt.wish)
		var got []string
		for _, g := range l.Gateways {
			got = append(got, g.Name)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, s, tt.want)
		}
	}
}

func TestTimezones(t *testing.T) {
	for s, want := range map[string]float64{"+1": 1, "-5": -5, "0": 0, "14": 14, "-3.5": -3.5, "+05.75": 5.75} {
		if got, err := provider.ParseTimezone(s); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "+", "15", "-13", "1e1", "0x1", "NaN", "+-1", "1-1", "1.2.3", "0000001"} {
		if got, err := provider.ParseTimezone(s); !errors.Is(err, problem.Invalid) {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
	for _, d := range [][3]float64{{0, 0, 0}, {-5, 1, 6}, {13, -11, 0}, {14, -10, 0}, {12, -12, 0}, {9, -8, 7}, {-11, 12, 1}} {
		if got := provider.TimezoneDistance(d[0], d[1]); got != d[2] {
			t.Errorf("from %v to %v are %v hours, want %v", d[0], d[1], got, d[2])
		}
	}
}

// FuzzParseGateways: what is accepted is accepted again after it was written,
// and so are the service files that follow from it.
func FuzzParseGateways(f *testing.F) {
	f.Add(read(f, "gateways.json"))
	f.Add([]byte(`{"gateways":[{"name":"a","host":"a","addresses":["::ffff:192.0.2.1"],"lease_ports":[1],"transports":[{"proto":"x","ports":[1]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := provider.ParseGateways(data)
		if err != nil {
			if !errors.Is(err, problem.Invalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		l.Sort(provider.GatewayWish{Timezone: new(float64)})
		for _, v := range []any{l, l.EIP3("")} {
			out, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, again := v.(provider.GatewayList); again {
				_, err = provider.ParseGateways(out)
			} else {
				_, err = provider.ParseEIP3(out)
			}
			if err != nil && len(out) <= provider.MaxDocument {
				t.Errorf("%s: %v", out, err)
			}
		}
	})
}
