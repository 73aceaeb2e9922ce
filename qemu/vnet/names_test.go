package vnet_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/qemu/vnet"
)

// question asks the server at 10.77.0.2 once.
func question(t *testing.T, h *vnet.Host, network, name string, qtype uint16, recurse bool) *dns.Msg {
	t.Helper()
	conn, err := h.DialContext(t.Context(), network, "10.77.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.RecursionDesired = recurse
	r, _, err := (&dns.Client{Net: network, ReadTimeout: 10 * time.Second}).ExchangeWithConn(m, &dns.Conn{Conn: conn})
	if err != nil {
		t.Fatalf("%s of %s: %v", dns.TypeToString[qtype], name, err)
	}
	return r
}

func TestDNS(t *testing.T) {
	l, one, two := pair(t)
	three := newHost(t, l, "three", netip.MustParseAddr("10.77.0.3"), netip.MustParseAddr("fd77::3"), netip.Addr{})
	server, err := two.ServeDNS(two4, vnet.Names{
		Addrs: map[string][]netip.Addr{"Two.Lab": {two4, two6}, "none.lab.": nil},
		Zones: map[string][]netip.Addr{
			"zone.example": {two6, netip.MustParseAddr("10.77.0.3")},
			"dead.example": {netip.MustParseAddr("192.0.2.1")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	inZone := netip.MustParseAddr("10.77.0.44")
	if _, err := three.ServeDNS(netip.MustParseAddr("10.77.0.3"), vnet.Names{Addrs: map[string][]netip.Addr{"www.zone.example": {inZone}}}); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			name    string
			qtype   uint16
			recurse bool
			rcode   int
			answers int
		}{
			{"two.lab.", dns.TypeA, true, dns.RcodeSuccess, 1},
			{"TWO.lab.", dns.TypeAAAA, false, dns.RcodeSuccess, 1},
			{"two.lab.", dns.TypeMX, true, dns.RcodeSuccess, 0},
			{"none.lab.", dns.TypeA, true, dns.RcodeSuccess, 0},
			{"other.lab.", dns.TypeA, true, dns.RcodeRefused, 0},
			{".", dns.TypeNS, false, dns.RcodeRefused, 0},
			{"www.zone.example.", dns.TypeA, false, dns.RcodeSuccess, 0},
			{"www.zone.example.", dns.TypeA, true, dns.RcodeSuccess, 1},
			{"dead.example.", dns.TypeA, true, dns.RcodeServerFailure, 0},
		} {
			r := question(t, one, network, c.name, c.qtype, c.recurse)
			if r.Rcode != c.rcode || len(r.Answer) != c.answers {
				t.Errorf("%s: %s of %s, recursion %v: got\n%v", network, dns.TypeToString[c.qtype], c.name, c.recurse, r)
			}
		}
	}
	r := question(t, one, "udp", "www.zone.example.", dns.TypeA, false)
	if len(r.Ns) != 1 || r.Ns[0].Header().Name != "zone.example." || len(r.Extra) != 2 || r.Authoritative {
		t.Errorf("the referral is\n%v", r)
	}
	update := new(dns.Msg)
	update.SetUpdate("two.lab.")
	conn, err := one.DialContext(t.Context(), "udp", "10.77.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if r, _, err := new(dns.Client).ExchangeWithConn(update, &dns.Conn{Conn: conn}); err != nil || r.Rcode != dns.RcodeNotImplemented {
		t.Errorf("an update: %v, %v", r, err)
	}

	// A host resolves with it.
	serveHTTP(t, two, two4)
	if _, err := fetch(one, "http://two.lab/", 10*time.Second); err != nil {
		t.Error(err)
	}
	server.Set(vnet.Names{Addrs: map[string][]netip.Addr{"moved.lab": {two4}}})
	if _, err := fetch(one, "http://moved.lab/", 10*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := fetch(one, "http://two.lab/", 10*time.Second); err == nil {
		t.Error("a name that is gone has an address")
	}
	if _, err := two.ServeDNS(two4, vnet.Names{}); err == nil {
		t.Error("two servers at one address")
	}
}

// askTime sends what a client sends, and returns the answer.
func askTime(t *testing.T, c net.Conn) (answer []byte, now time.Time) {
	t.Helper()
	ask := make([]byte, 48)
	ask[0] = 4<<3 | 3 // Version 4, client.
	copy(ask[40:], "when I asked")
	if _, err := c.Write(ask); err != nil {
		t.Fatal(err)
	}
	answer = make([]byte, 100)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer[:n], time.Now()
}

func TestNTP(t *testing.T) {
	_, one, two := pair(t)
	server, err := two.ServeNTP(two6)
	if err != nil {
		t.Fatal(err)
	}
	c, err := one.DialContext(t.Context(), "udp", "[fd77::2]:123")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("no question")); err != nil {
		t.Fatal(err)
	}
	// Ten years later the seconds of NTP have begun anew.
	for _, offset := range []time.Duration{0, -90 * time.Minute, 10 * 365 * 24 * time.Hour} {
		server.SetOffset(offset)
		b, now := askTime(t, c)
		if len(b) != 48 || b[0] != 4<<3|4 || b[1] != 1 || !slices.Equal(b[24:32], []byte("when I a")) {
			t.Fatalf("offset %v: the answer is %x", offset, b)
		}
		const unix = 2208988800 // 1970 in seconds of NTP.
		sec, frac := binary.BigEndian.Uint32(b[40:]), binary.BigEndian.Uint32(b[44:])
		want := now.Add(offset)
		off := float64(int32(sec-uint32(want.Unix()+unix))) + float64(frac)/(1<<32) - float64(want.Nanosecond())/1e9
		if off < -10 || off > 0.001 {
			t.Errorf("offset %v: the time is wrong by %.3f s", offset, off)
		}
	}
}
