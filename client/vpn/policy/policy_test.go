package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

func link() *policy.Link {
	return &policy.Link{
		PrivateKey: lease.Key{1},
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.64.3.9/32"), netip.MustParsePrefix("fd00:64::309/128")},
		DNS:        []netip.Addr{netip.MustParseAddr("10.64.0.1")},
		MTU:        1420,
		PeerKey:    lease.Key{2},
		PSK:        lease.Key{3},
		Endpoint:   netip.MustParseAddrPort("192.0.2.1:51820"),
		Wrap:       &policy.Wrap{ServerName: "gw1.example.org", CA: []byte("pem"), Pair: policy.PairOf([]byte("pair"))},
	}
}

func full() policy.Policy {
	return policy.Policy{
		Mode:    policy.Tunnel,
		Reach:   []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:443")},
		Tunnel:  link(),
		LAN:     true,
		Portal:  &policy.Portal{UID: 1000, Until: now().Add(policy.MaxPortal)},
		Exclude: []uint32{1001},
	}
}

func TestZeroBlocks(t *testing.T) {
	var p policy.Policy
	if p.Mode != policy.Blocked || p.Validate(now()) != nil {
		t.Errorf("the zero policy is %v: %v", p.Mode, p.Validate(now()))
	}
	if err := json.Unmarshal([]byte("{}"), &p); err != nil || p.Mode != policy.Blocked {
		t.Errorf("{} is %v, %v", p.Mode, err)
	}
}

func TestRoundTrip(t *testing.T) {
	p := full()
	if err := p.Validate(now()); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got policy.Policy
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%s becomes %+v, %v", data, got, err)
	}
}

func TestValidate(t *testing.T) {
	many := make([]netip.AddrPort, policy.MaxReach+1)
	for i := range many {
		many[i] = netip.MustParseAddrPort("192.0.2.1:443")
	}
	for name, spoil := range map[string]func(*policy.Policy){
		"mode":              func(p *policy.Policy) { p.Mode = 9 },
		"no tunnel":         func(p *policy.Policy) { p.Tunnel = nil },
		"open with tunnel":  func(p *policy.Policy) { p.Mode, p.Portal, p.Exclude = policy.Open, nil, nil },
		"much reach":        func(p *policy.Policy) { p.Reach = many },
		"reach nowhere":     func(p *policy.Policy) { p.Reach[0] = netip.AddrPort{} },
		"reach port 0":      func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("192.0.2.1:0") },
		"reach all":         func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("0.0.0.0:53") },
		"reach multicast":   func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("224.0.0.1:53") },
		"reach broadcast":   func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("255.255.255.255:53") },
		"reach mapped":      func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("[::ffff:192.0.2.1]:53") },
		"reach zone":        func(p *policy.Policy) { p.Reach[0] = netip.MustParseAddrPort("[fe80::1%eth0]:53") },
		"root outside":      func(p *policy.Policy) { p.Exclude = []uint32{0} },
		"exclude, blocked":  func(p *policy.Policy) { p.Mode, p.Tunnel, p.Portal = policy.Blocked, nil, nil },
		"many outside":      func(p *policy.Policy) { p.Exclude = make([]uint32, policy.MaxExclude+1) },
		"portal for root":   func(p *policy.Policy) { p.Portal.UID = 0 },
		"portal too long":   func(p *policy.Policy) { p.Portal.Until = p.Portal.Until.Add(1) },
		"portal while open": func(p *policy.Policy) { p.Mode, p.Tunnel, p.Exclude = policy.Open, nil, nil },
		"no private key":    func(p *policy.Policy) { p.Tunnel.PrivateKey = lease.Key{} },
		"no peer":           func(p *policy.Policy) { p.Tunnel.PeerKey = lease.Key{} },
		"no address":        func(p *policy.Policy) { p.Tunnel.Addresses = nil },
		"a net as address":  func(p *policy.Policy) { p.Tunnel.Addresses[0] = netip.MustParsePrefix("10.64.0.0/16") },
		"no resolver":       func(p *policy.Policy) { p.Tunnel.DNS = nil },
		"odd resolver":      func(p *policy.Policy) { p.Tunnel.DNS[0] = netip.Addr{} },
		"small MTU":         func(p *policy.Policy) { p.Tunnel.MTU = 1279 },
		"large MTU":         func(p *policy.Policy) { p.Tunnel.MTU = 1501 },
		"no endpoint":       func(p *policy.Policy) { p.Tunnel.Endpoint = netip.AddrPort{} },
		"TLS without name":  func(p *policy.Policy) { p.Tunnel.Wrap.ServerName = "" },
		"TLS without CA":    func(p *policy.Policy) { p.Tunnel.Wrap.CA = nil },
		"TLS without pair":  func(p *policy.Policy) { p.Tunnel.Wrap.Pair = policy.Pair{} },
	} {
		p := full()
		spoil(&p)
		if err := p.Validate(now()); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := full()
	p.Portal.Until = now().Add(-time.Hour)
	if err := p.Validate(now()); err != nil {
		t.Errorf("a window that is over: %v", err)
	}
}

// TestSecretsStayHidden plants a key and looks for it in every text.
func TestSecretsStayHidden(t *testing.T) {
	p := full()
	raw := lease.Key([]byte("canary-canary-canary-canary-1234"))
	p.Tunnel.PrivateKey, p.Tunnel.PSK, p.Tunnel.Wrap.Pair = raw, raw, policy.PairOf(raw[:])
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&b, verb+"\n", *p.Tunnel)
		fmt.Fprintf(&b, verb+"\n", p.Tunnel.PSK)
		fmt.Fprintf(&b, verb+"\n", *p.Tunnel.Wrap)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("policy", "tunnel", *p.Tunnel)
	for _, canary := range []string{"canary", raw.Hex()[:12], fmt.Sprint(raw[:6])[1:20]} {
		if strings.Contains(b.String(), canary) {
			t.Errorf("%q is in\n%s", canary, b.String())
		}
	}
}

// FuzzPolicy: what is accepted is the same after it was written.
func FuzzPolicy(f *testing.F) {
	data, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"mode":"open"}`))
	f.Add([]byte(`{"mode":"blocked","reach":["192.0.2.1:443"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p policy.Policy
		if json.Unmarshal(data, &p) != nil || p.Validate(now()) != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again policy.Policy
		if err := json.Unmarshal(out, &again); err != nil || again.Validate(now()) != nil {
			t.Errorf("%s is refused: %v", out, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(out) {
			t.Errorf("%s becomes %s, %v", out, twice, err)
		}
	})
}
