package kernel_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/kernel"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func link() *policy.Link {
	return &policy.Link{
		PrivateKey: lease.Key{1},
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.64.3.9/32"), netip.MustParsePrefix("fd00:64::309/128")},
		DNS:        []netip.Addr{netip.MustParseAddr("10.64.0.1"), netip.MustParseAddr("fd00:64::1")},
		MTU:        1420,
		PeerKey:    lease.Key{2},
		PSK:        lease.Key{3},
		Endpoint:   netip.MustParseAddrPort("192.0.2.1:53"),
	}
}

func ports(texts ...string) (all []netip.AddrPort) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddrPort(t))
	}
	return all
}

// policies are what the golden files show, by their names.
func policies() map[string]policy.Policy {
	four := link()
	four.Addresses, four.DNS = four.Addresses[:1], four.DNS[:1]
	wrapped := link()
	wrapped.Endpoint, wrapped.Wrap = netip.MustParseAddrPort("192.0.2.1:443"), &policy.Wrap{ServerName: "gw1.example.org", CA: []byte("pem")}
	return map[string]policy.Policy{
		"open":    {Mode: policy.Open},
		"blocked": {},
		"reach":   {Reach: ports("192.0.2.1:443", "[2001:db8::1]:443"), LAN: true},
		"tunnel":  {Mode: policy.Tunnel, Tunnel: link(), Reach: ports("192.0.2.1:1194")},
		"exclude": {Mode: policy.Tunnel, Tunnel: link(), Exclude: []uint32{1001}},
		"four":    {Mode: policy.Tunnel, Tunnel: four, LAN: true},
		"full": {
			Mode: policy.Tunnel, Tunnel: wrapped, Exclude: []uint32{1001, 1002},
			Portal: &policy.Portal{UID: 1000, Until: time.Unix(1772600707, 5).UTC()},
		},
	}
}

// closed is the end of a chain that lets nothing else pass.
var closed = regexp.MustCompile(`(?s)chain .*\n\t\t(drop|reject with icmpx admin-prohibited) comment "all else"\n$`)

func TestText(t *testing.T) {
	for name, p := range policies() {
		t.Run(name, func(t *testing.T) {
			path, text := filepath.Join("testdata", name+".nft"), kernel.Text(p)
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
			for c := range strings.SplitSeq(text, "\t}\n") {
				if c != "}\n" && c != "" && !closed.MatchString(c) {
					t.Errorf("until its policy is in force, this lets through what no rule is about:\n%s", c)
				}
			}
		})
	}
}
