package dns_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"leap.example/services/dns"
	"leap.example/services/dns/dnssectest"
)

// validating starts a resolver that trusts the root of w.
func validating(t *testing.T, w *dnssectest.World, edit func(*dns.ConfigResolver)) string {
	t.Helper()
	cfg := dns.Config{Resolver: dns.ConfigResolver{Upstreams: []string{w.Serve(t)}, TrustAnchors: []string{w.Anchor(".")}}}
	if edit != nil {
		edit(&cfg.Resolver)
	}
	return resolver(t, cfg)
}

// code returns the code of RFC 8914 in an answer, or -1.
func code(m *mdns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*mdns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}

func isDNSSEC(rr mdns.RR) bool {
	switch rr.(type) {
	case *mdns.RRSIG, *mdns.NSEC, *mdns.NSEC3:
		return true
	}
	return false
}

// TestValidation asks every case of the tree as four kinds of clients do.
func TestValidation(t *testing.T) {
	addr := validating(t, dnssectest.Shared(t), func(c *dns.ConfigResolver) { c.Rate = 1e6 })
	for _, c := range dnssectest.Cases() {
		name := c.Name + " " + mdns.TypeToString[c.Type]
		m := ask(c.Name, c.Type)
		plain := exchange(t, "tcp", addr, m)
		m.AuthenticatedData = true
		aware := exchange(t, "tcp", addr, m)
		m = ask(c.Name, c.Type).SetEdns0(4096, true)
		do := exchange(t, "tcp", addr, m)
		m.CheckingDisabled = true
		cd := exchange(t, "tcp", addr, m)

		rcode := c.Rcode
		if c.Want == "bogus" {
			rcode = mdns.RcodeServerFailure
		}
		for _, r := range []*mdns.Msg{plain, aware, do} {
			if r.Rcode != rcode || rcode == mdns.RcodeServerFailure && len(r.Answer)+len(r.Ns) > 0 {
				t.Errorf("%s: want %s, got\n%v", name, mdns.RcodeToString[rcode], r)
			}
		}
		if secure := c.Want == "secure"; plain.AuthenticatedData || aware.AuthenticatedData != secure || do.AuthenticatedData != secure {
			t.Errorf("%s: AD bits %t, %t, %t", name, plain.AuthenticatedData, aware.AuthenticatedData, do.AuthenticatedData)
		}
		if got := code(do); (got >= 0) != (c.Want == "bogus") || c.Code != 0 && got != int(c.Code) {
			t.Errorf("%s: code %d, want %d", name, got, c.Code)
		}
		if slices.ContainsFunc(slices.Concat(plain.Answer, plain.Ns), isDNSSEC) {
			t.Errorf("%s: signatures for who did not ask for them:\n%v", name, plain)
		}
		if c.Want == "secure" && !slices.ContainsFunc(slices.Concat(do.Answer, do.Ns), isDNSSEC) {
			t.Errorf("%s: no signatures for who asked for them:\n%v", name, do)
		}
		if cd.Rcode == mdns.RcodeServerFailure || cd.AuthenticatedData && c.Want != "secure" || !cd.CheckingDisabled {
			t.Errorf("%s: who validates does not get what there is:\n%v", name, cd)
		}
	}
}

// TestKeysAreKept: the chain of keys is asked for once.
func TestKeysAreKept(t *testing.T) {
	w := dnssectest.Tree(t)
	addr := validating(t, w, nil)
	for _, label := range []string{"www", "text", "alias", "a.b.c", "nowhere", "any.wild"} {
		exchange(t, "udp", addr, ask(label+".plain.test.", mdns.TypeA))
	}
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{".", mdns.TypeDNSKEY},
		{"test.", mdns.TypeDS},
		{"test.", mdns.TypeDNSKEY},
		{"plain.test.", mdns.TypeDS},
		{"plain.test.", mdns.TypeDNSKEY},
	} {
		if n := w.Asked(q.name, q.qtype); n != 1 {
			t.Errorf("%s %s was asked for %d times", q.name, mdns.TypeToString[q.qtype], n)
		}
	}
}

// TestSecondUpstream: what one upstream forges another one may know.
func TestSecondUpstream(t *testing.T) {
	w := dnssectest.Shared(t)
	honest := w.Serve(t)
	liar := newUpstream(t)
	liar.answers(func(_ string, q *mdns.Msg) *mdns.Msg {
		r := w.Answer(q)
		r.Answer = slices.DeleteFunc(r.Answer, isDNSSEC)
		return r
	})
	addr := validating(t, w, func(c *dns.ConfigResolver) { c.Upstreams = []string{liar.addr, honest} })
	m := ask("www.plain.test.", mdns.TypeA).SetEdns0(1232, true)
	if r := exchange(t, "udp", addr, m); !r.AuthenticatedData || len(r.Answer) != 2 {
		t.Errorf("got %v", r)
	}
}

// TestPrivateZone: a zone that the operator exempts is not validated.
func TestPrivateZone(t *testing.T) {
	for _, private := range [][]string{nil, {"wrong.test"}} {
		addr := validating(t, dnssectest.Shared(t), func(c *dns.ConfigResolver) { c.Private = private })
		r := exchange(t, "udp", addr, ask("www.wrong.test.", mdns.TypeA).SetEdns0(1232, true))
		if ok := r.Rcode == mdns.RcodeSuccess && !r.AuthenticatedData; ok != (private != nil) {
			t.Errorf("private %v: %v", private, r)
		}
	}
}

// TestSpecialNames: they are asked upstream only if the operator says so.
func TestSpecialNames(t *testing.T) {
	u := newUpstream(t, "x. 60 IN TXT y")
	names := []string{
		"x.onion.", "printer.local.", "localhost.", "box.home.arpa.", "host.internal.", "9.0.64.10.in-addr.arpa.",
		"1.0.16.172.in-addr.arpa.", "1.0.31.172.in-addr.arpa.", "1.2.100.100.in-addr.arpa.", "1.0.0.d.f.ip6.arpa.",
	}
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	for _, name := range names {
		if r := exchange(t, "udp", addr, ask(name, mdns.TypeTXT)); r.Rcode != mdns.RcodeNameError {
			t.Errorf("%s: %v", name, show(r))
		}
	}
	if n := u.asked.Load(); n != 0 {
		t.Errorf("the upstream was asked for %d of them", n)
	}
	private := []string{"internal", "64.10.in-addr.arpa"}
	addr = resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}, Private: private}})
	for _, name := range append(names, "1.0.32.172.in-addr.arpa.", "1.2.128.100.in-addr.arpa.", "x.internals.") {
		exchange(t, "udp", addr, ask(name, mdns.TypeTXT))
	}
	if n := u.asked.Load(); n != 5 {
		t.Errorf("the upstream was asked for %d names, want the two private zones' and those that are not special", n)
	}
}

// TestNoSubnet: what a client says of its network, and what else it adds, does
// not leave.
func TestNoSubnet(t *testing.T) {
	u := newUpstream(t, "x.test. 60 IN A 192.0.2.1")
	seen := make(chan *mdns.Msg, 1)
	u.answers(func(_ string, q *mdns.Msg) *mdns.Msg {
		seen <- q
		return positive(q, "x.test. 60 IN A 192.0.2.1")
	})
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	m := ask("X.Test.", mdns.TypeA).SetEdns0(4096, false)
	m.IsEdns0().Option = []mdns.EDNS0{
		&mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{10, 64, 3, 0}},
		&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
	}
	exchange(t, "udp", addr, m)
	q := <-seen
	if opt := q.IsEdns0(); opt == nil || len(opt.Option) > 0 || opt.UDPSize() != 1232 || len(q.Extra) != 1 || q.Question[0].Name != "x.test." {
		t.Errorf("the upstream saw %v", q)
	}
}

// TestStale: while no upstream answers, an old answer is given if the operator
// says so.
func TestStale(t *testing.T) {
	u := newUpstream(t, "x.test. 1 IN A 192.0.2.1")
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}, Stale: 3600}})
	m := ask("x.test.", mdns.TypeA).SetEdns0(1232, false)
	exchange(t, "tcp", addr, m)
	u.answers(failing(mdns.RcodeServerFailure))
	for {
		r := exchange(t, "tcp", addr, m)
		if r.Rcode != mdns.RcodeSuccess || len(r.Answer) != 1 {
			t.Fatalf("got %v", r)
		}
		if code(r) == int(mdns.ExtendedErrorCodeStaleAnswer) {
			break // Its second is over.
		}
	}
}

// TestFairness: one client does not take all places, and another one is
// answered meanwhile.
func TestFairness(t *testing.T) {
	u := newUpstream(t, "x. 60 IN A 192.0.2.1")
	gate := make(chan struct{})
	u.answers(func(_ string, q *mdns.Msg) *mdns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "slow") {
			<-gate
		}
		return positive(q, "x. 60 IN A 192.0.2.1")
	})
	addr := resolver(t, dns.Config{Resolver: dns.ConfigResolver{DNSSEC: "off", Upstreams: []string{u.addr}}})
	greedy, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer greedy.Close()
	for i := range 400 {
		b, err := ask(fmt.Sprintf("slow%d.", i), mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := greedy.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c := mdns.Client{Dialer: &d, Timeout: time.Second}
	r, _, err := c.ExchangeContext(t.Context(), ask("quick.", mdns.TypeA), addr)
	for range 3 {
		if err != nil { // The kernel's buffer was full of the other's.
			r, _, err = c.ExchangeContext(t.Context(), ask("quick.", mdns.TypeA), addr)
		}
	}
	if err != nil || len(r.Answer) != 1 {
		t.Errorf("another client: %v, %v", r, err)
	}
	close(gate)
}

// TestSilentLog: neither names nor clients are logged, whatever happens.
func TestSilentLog(t *testing.T) {
	w := dnssectest.Shared(t)
	var log lockedBuilder
	srv, err := dns.New(dns.Config{Resolver: dns.ConfigResolver{
		Listen: []string{"127.0.0.1:0"}, Upstreams: []string{w.Serve(t)}, TrustAnchors: []string{w.Anchor(".")},
	}}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	pc, ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.ServeResolver(ctx, pc, ln) }()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	c := mdns.Client{Net: "tcp", Dialer: &d, Timeout: 8 * time.Second}
	for i := range 20 {
		for _, name := range []string{"www.plain.test.", "www.open.plain.test.", fmt.Sprintf("canary%d.wrong.test.", i)} {
			if _, _, err := c.ExchangeContext(t.Context(), ask(name, mdns.TypeA), ln.Addr().String()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	<-done
	for _, word := range []string{"canary", "plain", "wrong", "127.0.0.77"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("%q is in the log:\n%s", word, log.String())
		}
	}
	if !strings.Contains(log.String(), "serving DNS") {
		t.Error("nothing is logged at all")
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
