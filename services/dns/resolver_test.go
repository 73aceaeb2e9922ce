package dns_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"leap.example/services/dns"
)

// An upstream is somebody else's resolver: a program of the library's, so that
// it shares no code with ours.
type upstream struct {
	addr  string
	asked atomic.Int32

	mu     sync.Mutex
	reply  func(network string, m *mdns.Msg) *mdns.Msg // nil: silence.
	ports  map[string]bool
	ids    map[uint16]bool
	answer chan struct{} // If set, answers wait for it.
}

func (u *upstream) ServeDNS(w mdns.ResponseWriter, q *mdns.Msg) {
	u.asked.Add(1)
	u.mu.Lock()
	u.ports[w.RemoteAddr().String()] = true
	u.ids[q.Id] = true
	reply, wait := u.reply, u.answer
	u.mu.Unlock()
	if wait != nil {
		<-wait
	}
	if r := reply(w.RemoteAddr().Network(), q); r != nil {
		w.WriteMsg(r)
	}
}

// answers changes what u answers.
func (u *upstream) answers(f func(network string, m *mdns.Msg) *mdns.Msg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reply = f
}

// newUpstream starts an upstream that answers with rrs.
func newUpstream(t *testing.T, rrs ...string) *upstream {
	t.Helper()
	u := &upstream{ports: map[string]bool{}, ids: map[uint16]bool{}}
	u.answers(func(_ string, q *mdns.Msg) *mdns.Msg { return positive(q, rrs...) })
	pc, ln := listen(t)
	u.addr = ln.Addr().String()
	for _, s := range []*mdns.Server{{PacketConn: pc, Handler: u}, {Listener: ln, Handler: u}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() {
			s.Shutdown()
			<-done
		})
	}
	return u
}

func positive(q *mdns.Msg, rrs ...string) *mdns.Msg {
	r := new(mdns.Msg).SetReply(q)
	r.AuthenticatedData = true // Whatever an upstream claims.
	for _, s := range rrs {
		rr, err := mdns.NewRR(s)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == mdns.TypeSOA {
			r.Ns = append(r.Ns, rr)
		} else {
			r.Answer = append(r.Answer, rr)
		}
	}
	return r
}

func failing(rcode int) func(string, *mdns.Msg) *mdns.Msg {
	return func(_ string, q *mdns.Msg) *mdns.Msg { return new(mdns.Msg).SetRcode(q, rcode) }
}

func TestResolver(t *testing.T) {
	const soa = "test. 3600 IN SOA ns.test. a.test. 1 1 1 1 60"
	u := newUpstream(t)
	u.answers(func(_ string, q *mdns.Msg) *mdns.Msg {
		switch q.Question[0].Name {
		case "host.other.test.":
			return positive(q, "host.other.test. 60 IN A 198.51.100.1")
		case "empty.other.test.":
			return positive(q, soa)
		}
		r := positive(q, soa)
		r.Rcode = mdns.RcodeNameError
		return r
	})
	addr := resolver(t, dns.Config{Zones: []dns.ConfigZone{zone()}, Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	const ns = "ns: test. 3600 IN SOA ns.test. a.test. 1 1 1 1 60"
	for _, tt := range []struct {
		name string
		typ  uint16
		want []string
	}{
		{"mx1.example.org.", mdns.TypeA, []string{"NOERROR aa ra", "mx1.example.org. 3600 IN A 192.0.2.25"}},
		{"nowhere.example.org.", mdns.TypeA, []string{"NXDOMAIN aa ra", negative}},
		{"host.other.test.", mdns.TypeA, []string{"NOERROR ra", "host.other.test. 60 IN A 198.51.100.1"}},
		{"out.example.org.", mdns.TypeA, []string{"NOERROR ra", "out.example.org. 3600 IN CNAME host.other.test.", "host.other.test. 60 IN A 198.51.100.1"}},
		{"out.example.org.", mdns.TypeCNAME, []string{"NOERROR aa ra", "out.example.org. 3600 IN CNAME host.other.test."}},
		{"empty.other.test.", mdns.TypeA, []string{"NOERROR ra", ns}},
		{"nowhere.test.", mdns.TypeA, []string{"NXDOMAIN ra", ns}},
		{"secret.onion.", mdns.TypeA, []string{"NXDOMAIN ra"}},
		{"printer.local.", mdns.TypeA, []string{"NXDOMAIN ra"}},
		{"other.test.", mdns.TypeANY, []string{"NOERROR ra", `other.test. 8482 IN HINFO "RFC8482" ""`}},
	} {
		t.Run(tt.name+" "+mdns.TypeToString[tt.typ], func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				if diff := cmp.Diff(tt.want, show(exchange(t, network, addr, ask(tt.name, tt.typ)))); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", network, diff)
				}
			}
		})
	}
	if got := u.asked.Load(); got != 3 {
		t.Errorf("upstream was asked %d times for 3 foreign names", got)
	}
}

func TestFallback(t *testing.T) {
	const want = "x.test. 60 IN A 198.51.100.1"
	good := newUpstream(t, want)
	bad := newUpstream(t)
	pc, ln := listen(t)
	pc.Close()
	ln.Close()
	for _, tt := range []struct {
		name  string
		first string
		reply func(string, *mdns.Msg) *mdns.Msg
	}{
		{"closed port", ln.Addr().String(), nil},
		{"SERVFAIL", bad.addr, failing(mdns.RcodeServerFailure)},
		{"REFUSED", bad.addr, failing(mdns.RcodeRefused)},
		{"silence", bad.addr, func(string, *mdns.Msg) *mdns.Msg { return nil }},
		{"another question", bad.addr, func(_ string, q *mdns.Msg) *mdns.Msg {
			q.Question[0].Name = "y.test."
			return positive(q, "y.test. 60 IN A 203.0.113.66")
		}},
		{"another id", bad.addr, func(_ string, q *mdns.Msg) *mdns.Msg {
			r := positive(q, "x.test. 60 IN A 203.0.113.66")
			r.Id++
			return r
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.first == bad.addr {
				u := newUpstream(t)
				u.answers(tt.reply)
				tt.first = u.addr
			}
			addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{tt.first, good.addr}}})
			r := exchange(t, "udp", addr, ask("x.test.", mdns.TypeA))
			if diff := cmp.Diff([]string{"NOERROR ra", want}, show(r)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestUpstreamTCP: a truncated answer is asked for again by TCP.
func TestUpstreamTCP(t *testing.T) {
	u := newUpstream(t)
	long := `x.test. 60 IN TXT "` + strings.Repeat("z", 250) + `"`
	u.answers(func(network string, q *mdns.Msg) *mdns.Msg {
		if network == "udp" {
			r := positive(q)
			r.Truncated = true
			return r
		}
		return positive(q, long)
	})
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	r := exchange(t, "udp", addr, ask("x.test.", mdns.TypeTXT))
	if r.Truncated || len(r.Answer) != 1 {
		t.Errorf("got %v", show(r))
	}
}

func TestNoUpstreams(t *testing.T) {
	addr := resolver(t, dns.Config{Zones: []dns.ConfigZone{zone()}})
	begin := time.Now()
	if diff := cmp.Diff([]string{"SERVFAIL ra"}, show(exchange(t, "udp", addr, ask("x.test.", mdns.TypeA)))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAllow(t *testing.T) {
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, _ := ask("x.test.", mdns.TypeA).Pack()
	if got := raw(t, addr, b); got != -1 {
		t.Errorf("a foreign network got rcode %d", got)
	}
}

// TestPortsAndIDs: two questions share neither port nor id, and equal
// questions in flight are asked once.
func TestPortsAndIDs(t *testing.T) {
	u := newUpstream(t, "x.test. 0 IN A 198.51.100.1") // Never kept.
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	const n = 8
	for range n {
		exchange(t, "udp", addr, ask("x.test.", mdns.TypeA))
	}
	u.mu.Lock()
	if len(u.ports) < n/2 || len(u.ids) < n-1 {
		t.Errorf("%d queries came from %d ports with %d ids", n, len(u.ports), len(u.ids))
	}
	u.answer = make(chan struct{})
	u.mu.Unlock()
	before := u.asked.Load()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { exchange(t, "udp", addr, ask("x.test.", mdns.TypeA)) })
	}
	for deadline := time.Now().Add(5 * time.Second); u.asked.Load() == before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	close(u.answer)
	wg.Wait()
	if asked := u.asked.Load() - before; asked >= n {
		t.Errorf("%d equal questions at once were asked %d times", n, asked)
	}
}

func TestDNSSECBits(t *testing.T) {
	u := newUpstream(t)
	u.answers(func(_ string, q *mdns.Msg) *mdns.Msg {
		text := "plain"
		if opt := q.IsEdns0(); opt != nil && opt.Do() && q.CheckingDisabled {
			text = "unchecked"
		}
		return positive(q, `x.test. 60 IN TXT "`+text+`"`)
	})
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	for _, want := range []string{"unchecked", "plain"} {
		m := ask("x.test.", mdns.TypeTXT)
		if want == "unchecked" {
			m.SetEdns0(1232, true)
			m.CheckingDisabled = true
		}
		r := exchange(t, "udp", addr, m)
		if got := r.Answer[0].(*mdns.TXT).Txt[0]; got != want || r.AuthenticatedData {
			t.Errorf("got %s, ad %t; want %s", got, r.AuthenticatedData, want)
		}
	}
}
