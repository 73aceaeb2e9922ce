package dns

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/upstream"
)

func testZones(t testing.TB) zones {
	zs, err := newZones([]ConfigZone{{
		Name: "example.org", SOA: ConfigSOA{Serial: 1}, NameServers: []string{"ns.example.org"},
		Records: []ConfigRecord{{Type: "A", Value: "192.0.2.1"}, {Name: "w", Type: "CNAME", Value: "example.org"}, {Name: "t", Type: "TXT", Value: strings.Repeat("x", 2000)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return zs
}

// FuzzPacket sends any octets through both roles.
func FuzzPacket(f *testing.F) {
	for _, m := range []*dns.Msg{
		new(dns.Msg).SetQuestion("example.org.", dns.TypeA),
		new(dns.Msg).SetQuestion("w.Example.org.", dns.TypeANY),
		new(dns.Msg).SetQuestion("t.example.org.", dns.TypeTXT).SetEdns0(4096, true),
		new(dns.Msg).SetQuestion("x.example.org.", dns.TypeAXFR),
		new(dns.Msg).SetQuestion("other.test.", dns.TypeA),
		new(dns.Msg).SetNotify("example.org."),
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b[:len(b)-3], false)
	}
	zs := testZones(f)
	res, err := newResolver(ConfigResolver{}, zs, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	newRole := func(quick func(query) *dns.Msg) *role {
		return &role{
			admit: func(netip.Addr) bool { return true }, quick: quick, ask: res.answer, group: hostOf,
			limit: newLimiter(1e9, hostOf), busy: newShare(1, 1),
		}
	}
	roles := []*role{
		newRole(func(q query) *dns.Msg {
			reply := q.reply()
			zs.authoritative(reply)
			return reply
		}),
		newRole(res.quick),
	}
	f.Fuzz(func(t *testing.T, packet []byte, udp bool) {
		for _, r := range roles {
			out := r.packet(t.Context(), packet, netip.MustParseAddr("192.0.2.1"), udp)
			if out == nil {
				continue
			}
			if udp && len(out) > maxUDP {
				t.Errorf("an answer of %d bytes by UDP", len(out))
			}
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatalf("our own answer to %x: %v", packet, err)
			}
			if !m.Response || m.Id != uint16(packet[0])<<8|uint16(packet[1]) || m.AuthenticatedData {
				t.Errorf("answer %v", m)
			}
		}
	})
}

// FuzzText: what a TXT record is made of comes back from the wire.
func FuzzText(f *testing.F) {
	f.Add("v=spf1 mx -all")
	f.Add("")
	f.Add(`\000"\` + "\x00\xff;")
	f.Add(strings.Repeat(`\`, 600))
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			return
		}
		rr, err := ConfigRecord{Type: "TXT", Value: text}.rr("example.org.", 1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := (&dns.Msg{Answer: []dns.RR{rr}}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for data := b[12+len("example.org.")+1+10:]; len(data) > 0; data = data[1+int(data[0]):] {
			got = append(got, data[1:1+int(data[0])]...)
		}
		if string(got) != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}

func TestCache(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := newCache(64, 0)
	found := func(rr string) finding {
		r, err := dns.NewRR(rr)
		if err != nil {
			t.Fatal(err)
		}
		m := new(dns.Msg).SetQuestion("x.", dns.TypeA)
		m.Answer = []dns.RR{r}
		return finding{msg: m, result: dnssec.Result{Verdict: dnssec.Insecure}}
	}
	has := func(k key, after time.Duration) bool {
		_, ok := c.get(k, now.Add(after))
		return ok
	}
	k := key{name: "x."}
	c.put(k, found("x. 60 IN A 192.0.2.1"), now)
	if f, ok := c.get(k, now.Add(59*time.Second)); !ok || f.msg.Answer[0].Header().Ttl != 1 {
		t.Errorf("after 59 s: %v", f)
	}
	if has(k, 60*time.Second) {
		t.Error("it is there after 60 s")
	}
	c.put(k, found("x. 86400 IN A 192.0.2.1"), now)
	if !has(k, 59*time.Minute) || has(k, 61*time.Minute) {
		t.Error("a long life is not cut at an hour")
	}
	c.put(k, found("x. 0 IN A 192.0.2.1"), now)
	if has(k, 0) {
		t.Error("a TTL of 0 was kept")
	}
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeSuccess} {
		soa := found("x. 60 IN SOA a. b. 1 1 1 1 30")
		soa.msg.Answer, soa.msg.Ns, soa.msg.Rcode = nil, soa.msg.Answer, rcode
		c.put(k, soa, now)
		if !has(k, 29*time.Second) || has(k, 31*time.Second) {
			t.Errorf("%s does not live as long as its SOA says", dns.RcodeToString[rcode])
		}
	}
	c.put(k, finding{msg: &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}}, failed: true}, now)
	if !has(k, 500*time.Millisecond) || has(k, 2*time.Second) {
		t.Error("a failure is not kept for a second")
	}
	forged := found("x. 3600 IN A 192.0.2.1")
	forged.result.Verdict = dnssec.Bogus
	c.put(k, forged, now)
	if !has(k, 29*time.Second) || has(k, 31*time.Second) {
		t.Error("what is forged is not kept for half a minute")
	}
	for i := range 1000 {
		c.put(key{name: fmt.Sprint(i)}, found("x. 60 IN A 192.0.2.1"), now)
	}
	if len(c.entries) != 64 {
		t.Errorf("%d entries in a cache of 64", len(c.entries))
	}
}

// TestLate: an answer outlives its time as long as it may, and a failure does
// not replace it.
func TestLate(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := newCache(64, time.Hour)
	k := key{name: "x."}
	m := new(dns.Msg).SetQuestion("x.", dns.TypeA)
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "x.", Rrtype: dns.TypeA, Ttl: 60}}}
	c.put(k, finding{msg: m, result: dnssec.Result{Verdict: dnssec.Secure}}, now)
	c.put(k, failure(upstream.ErrNone), now.Add(2*time.Minute))
	if _, ok := c.get(k, now.Add(2*time.Minute)); ok {
		t.Error("it is given as if its time were not over")
	}
	f, ok := c.late(k, now.Add(time.Hour))
	if !ok || f.msg.Answer[0].Header().Ttl != staleTTL || f.code != int(dns.ExtendedErrorCodeStaleAnswer) {
		t.Errorf("after an hour: %v, %v", f, ok)
	}
	if f, ok := c.get(k, now.Add(time.Hour+2*time.Second)); !ok || f.code != int(dns.ExtendedErrorCodeStaleAnswer) {
		t.Error("the upstreams are asked again at once")
	}
	if _, ok := c.get(k, now.Add(time.Hour+6*time.Second)); ok {
		t.Error("the upstreams are not asked again")
	}
	if _, ok := c.late(k, now.Add(62*time.Minute)); ok {
		t.Error("it outlives the time set")
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, networkOf)
	now := time.Unix(1e9, 0)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.200")
	got := map[verdict]int{}
	for range 30 {
		got[l.ask(a, now)]++
		got[l.ask(b, now)]++ // The same network.
	}
	if got[pass] != 10 || got[slip] != 25 || got[drop] != 25 {
		t.Errorf("answers %d, slips %d, drops %d", got[pass], got[slip], got[drop])
	}
	if v := l.ask(netip.MustParseAddr("192.0.3.1"), now); v != pass {
		t.Errorf("another network: %v", v)
	}
	if v := l.ask(netip.MustParseAddr("2001:db8::1"), now); v != pass {
		t.Errorf("IPv6: %v", v)
	}
	if v := l.ask(a, now.Add(110*time.Millisecond)); v != pass {
		t.Errorf("after one interval: %v", v)
	}
	for i := range 2 * maxNetworks {
		l.ask(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).Next(), now)
		l.ask(netip.AddrFrom16([16]byte{0x20, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if n := len(l.now) + len(l.old); n > 2*maxNetworks {
		t.Errorf("%d networks are remembered", n)
	}
}
