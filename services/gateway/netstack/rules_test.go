package netstack

import (
	"net/netip"
	"testing"
	"time"

	"leap.example/services/gateway"
)

func testRules() rules {
	return rules{
		own:      []netip.Addr{netip.MustParseAddr("10.64.0.1"), netip.MustParseAddr("fd00:64::1")},
		tunnel:   []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16"), netip.MustParsePrefix("fd00:64::/64")},
		egress:   []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")},
		resolver: netip.MustParseAddrPort("127.0.0.1:5353"),
		lab:      []gateway.ConfigLab{{As: netip.MustParsePrefix("192.0.2.16/28"), Is: netip.MustParsePrefix("127.0.0.32/28")}},
	}
}

func TestRoute(t *testing.T) {
	r := testRules()
	for dst, want := range map[string]string{
		"203.0.113.1:443":        "203.0.113.1:443",
		"[2001:db8::1]:443":      "[2001:db8::1]:443",
		"192.0.2.19:80":          "127.0.0.35:80", // A lab's.
		"192.0.2.32:80":          "192.0.2.32:80",
		"10.64.0.1:53":           "127.0.0.1:5353", // Names.
		"[fd00:64::1]:53":        "127.0.0.1:5353",
		"10.64.0.1:443":          "", // Nothing else of the gateway.
		"10.64.3.9:80":           "", // Another client.
		"[fd00:64::309]:80":      "",
		"203.0.113.1:53":         "", // Names from somebody else.
		"203.0.113.1:25":         "",
		"203.0.113.1:162":        "",
		"127.0.0.1:80":           "", // Private.
		"10.0.0.1:80":            "",
		"172.31.0.1:80":          "",
		"192.168.1.1:80":         "",
		"169.254.169.254:80":     "",
		"100.64.0.1:80":          "",
		"0.0.0.0:80":             "",
		"255.255.255.255:80":     "",
		"224.0.0.251:5353":       "",
		"[::1]:80":               "",
		"[::ffff:127.0.0.1]:80":  "",
		"[64:ff9b::7f00:1]:80":   "",
		"[2002:7f00:1::]:80":     "",
		"[fd01::1]:80":           "",
		"[fe80::1]:80":           "",
		"[fec0::1]:80":           "",
		"[ff02::1]:80":           "",
		"[2001:db8::ffff:1]:445": "",
	} {
		to, ok := r.route(closedTCP, netip.MustParseAddrPort(dst))
		if ok != (want != "") || ok && to.String() != want {
			t.Errorf("%s: got %v, %v; want %q", dst, to, ok, want)
		}
	}
	if _, ok := r.route(closedUDP, netip.MustParseAddrPort("203.0.113.1:514")); ok {
		t.Error("UDP 514 is open")
	}
	r.resolver = netip.AddrPort{}
	if _, ok := r.route(closedUDP, netip.MustParseAddrPort("10.64.0.1:53")); ok {
		t.Error("names without a resolver")
	}
}

// TestFrom: a client leaves by one address always, and by no other family.
func TestFrom(t *testing.T) {
	r := testRules()
	to := netip.MustParseAddr("203.0.113.1")
	seen := map[netip.Addr]bool{}
	for c := netip.MustParseAddr("10.64.0.2"); c != netip.MustParseAddr("10.64.0.9"); c = c.Next() {
		a, ok := r.from(c, to)
		b, _ := r.from(c, to)
		if !ok || a != b {
			t.Errorf("%v leaves by %v and %v", c, a, b)
		}
		seen[a] = true
	}
	if len(seen) != 2 {
		t.Errorf("clients leave by %d addresses", len(seen))
	}
	if _, ok := r.from(to, netip.MustParseAddr("2001:db8::1")); ok {
		t.Error("IPv6 leaves by an address that was not configured")
	}
	if a, ok := (rules{}).from(to, to); !ok || a.IsValid() {
		t.Errorf("without egress addresses: %v, %v", a, ok)
	}
}

// TestBucket: datagrams beyond the rate are dropped, connections wait.
func TestBucket(t *testing.T) {
	const rate = 100_000
	b := &bucket{}
	now := time.Now()
	passed := 0
	for range 1000 { // 1 ms and 1000 bytes each: ten times the rate.
		if b.take(1000, rate, false, now) >= 0 {
			passed += 1000
		}
		now = now.Add(time.Millisecond)
	}
	if passed < rate || passed > rate*12/10 {
		t.Errorf("%d bytes passed in a second", passed)
	}
	b.take(10_000, rate, true, now)
	if d := b.take(10_000, rate, true, now); d < 100*time.Millisecond || d > 200*time.Millisecond {
		t.Errorf("waits %v", d)
	}
}

// FuzzParse reads the head of a packet: whatever is in it, nothing panics, and
// what passes the filter is for the gateway or for a public address.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 64, 0, 2, 203, 0, 113, 1})
	f.Add([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 10, 64, 0, 2, 10, 64, 0, 1})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 0, 17, 64}, make([]byte, 32)...))
	f.Add([]byte{})
	p := &Plane{rules: testRules()}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, ok := parse(data)
		if !ok || !p.passes(h) {
			return
		}
		if !p.rules.isOwn(h.dst) && (h.icmp || in(private, h.dst) || in(p.rules.tunnel, h.dst)) {
			t.Errorf("%v passes", h.dst)
		}
	})
}

// FuzzPeers reads a list of peers.
func FuzzPeers(f *testing.F) {
	f.Add("private_key=00\nlisten_port=1\npublic_key=" + "0101010101010101010101010101010101010101010101010101010101010101" +
		"\nlast_handshake_time_sec=5\nlast_handshake_time_nsec=6\ntx_bytes=7\nrx_bytes=8\n")
	f.Add("public_key=zz\n")
	f.Add("tx_bytes=1\npublic_key")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parsePeers(text)
		if err == nil && len(list) > len(text)/64 {
			t.Errorf("%d peers in %d bytes", len(list), len(text))
		}
	})
}
