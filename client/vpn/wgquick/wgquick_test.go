package wgquick_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/vpn/wgquick"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

var update = flag.Bool("update", false, "write the golden file anew")

func example() lease.Lease {
	return lease.Lease{
		GatewayPublicKey: lease.Key{2}.Public(), PSK: lease.Key{3}, MTU: 1420,
		Endpoints: []lease.Endpoint{
			{Addr: netip.MustParseAddr("192.0.2.1"), Ports: []uint16{443}, Proto: lease.UDP2TCP},
			{Addr: netip.MustParseAddr("192.0.2.1"), Ports: []uint16{51820, 443}, Proto: lease.UDP},
		},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.3.9/32"), netip.MustParsePrefix("fd00:64::309/128")},
		DNS:       []netip.Addr{netip.MustParseAddr("10.64.0.1"), netip.MustParseAddr("fd00:64::1")},
		NotAfter:  time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
}

func TestConfig(t *testing.T) {
	got, err := wgquick.Config("gw1.example.org", lease.Key{1}, example())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/leap.conf", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/leap.conf")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l := example()
	l.Endpoints = l.Endpoints[:1]
	if _, err := wgquick.Config("gw1.example.org", lease.Key{1}, l); !errors.Is(err, problem.Invalid) {
		t.Errorf("over TLS alone: %v", err)
	}
	l.Endpoints = []lease.Endpoint{{Addr: netip.MustParseAddr("2001:db8::1"), Ports: []uint16{51820}, Proto: lease.UDP}}
	if got, err := wgquick.Config("gw1.example.org", lease.Key{1}, l); err != nil || !strings.Contains(got, "\nEndpoint = [2001:db8::1]:51820\n") {
		t.Errorf("IPv6: %v\n%s", err, got)
	}
}

// TestDebian lets Debian's wg-quick read the file and wg the keys.
func TestDebian(t *testing.T) {
	for _, program := range []string{"wg-quick", "wg"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT TESTED against Debian's wireguard-tools: %v", err)
		}
	}
	path := filepath.Join(t.TempDir(), "leap.conf")
	text, err := wgquick.Config("gw1.example.org", lease.Key{1}, example())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stripped, err := exec.Command("wg-quick", "strip", path).CombinedOutput()
	if err != nil {
		t.Fatalf("wg-quick strip: %v\n%s", err, stripped)
	}
	for _, line := range []string{"[Interface]", "PrivateKey = ", "[Peer]", "PublicKey = ", "PresharedKey = ", "AllowedIPs = 0.0.0.0/0, ::/0", "Endpoint = 192.0.2.1:51820", "PersistentKeepalive = 25"} {
		if !strings.Contains(string(stripped), line) {
			t.Errorf("wg-quick strip leaves no %q:\n%s", line, stripped)
		}
	}
	for _, line := range []string{"Address", "DNS", "MTU"} { // Which are wg-quick's own.
		if strings.Contains(string(stripped), line) {
			t.Errorf("wg-quick does not know %q:\n%s", line, stripped)
		}
	}
	_, key, _ := strings.Cut(text, "PrivateKey = ")
	key, _, _ = strings.Cut(key, "\n")
	wg := exec.Command("wg", "pubkey")
	wg.Stdin = strings.NewReader(key)
	public, err := wg.Output()
	want, _ := lease.Key{1}.Public().MarshalText()
	if err != nil || strings.TrimSpace(string(public)) != string(want) {
		t.Errorf("wg makes of our private key %s, %v, want %s", public, err, want)
	}
}
