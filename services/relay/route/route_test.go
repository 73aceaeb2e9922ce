package route_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"leap.example/services/relay/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveDNS answers from records in zone-file form, and with SERVFAIL for names
// that end with the label "broken". It returns its address.
func serveDNS(t *testing.T, records ...string) string {
	t.Helper()
	byName := map[string][]dns.RR{}
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		byName[rr.Header().Name] = append(byName[rr.Header().Name], rr)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan bool)
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		rrs, ok := byName[q.Question[0].Name]
		switch {
		case strings.HasSuffix(q.Question[0].Name, "broken."):
			m.Rcode = dns.RcodeServerFailure
		case !ok:
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range rrs {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})}
	done := make(chan error)
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		srv.Shutdown()
		<-done
	})
	return pc.LocalAddr().String()
}

func TestHosts(t *testing.T) {
	records := []string{
		"two.example. MX 20 b.example.", "two.example. MX 10 A.example.", "a.example. A 203.0.113.1", "b.example. A 203.0.113.2",
		"b.example. AAAA 2001:db8::2", "implicit.example. A 203.0.113.3", "null.example. MX 0 .",
		"self.example. MX 5 relay.example.", "self.example. MX 10 a.example.", "behind.example. MX 5 a.example.",
		"behind.example. MX 10 relay.example.", "behind.example. MX 20 b.example.", "inside.example. MX 5 in.example.",
		"in.example. A 10.0.0.1", "in.example. A 127.0.0.1", "in.example. A 169.254.169.254", "in.example. A 100.64.0.1", "in.example. AAAA ::ffff:10.0.0.2",
		"in.example. AAAA fd00::1", "half.example. MX 5 in.example.", "half.example. MX 6 a.example.",
		"lost.example. MX 5 gone.example.", "away.example. MX 5 host.broken.", "many.example. MX 5 many-hosts.example.",
	}
	for i := range 20 {
		records = append(records, fmt.Sprintf("many-hosts.example. A 203.0.113.%d", 100+i))
	}
	addr := serveDNS(t, records...)
	f := route.New(addr, "RELAY.example", false)
	for domain, want := range map[string]string{
		"two.example":      "[{a.example 203.0.113.1} {b.example 203.0.113.2} {b.example 2001:db8::2}]",
		"implicit.example": "[{implicit.example 203.0.113.3}]",
		"behind.example":   "[{a.example 203.0.113.1}]",
		"half.example":     "[{a.example 203.0.113.1}]",
		"null.example":     "5.1.10",
		"self.example":     "5.4.6",
		"inside.example":   "5.4.4",
		"lost.example":     "5.1.2",
		"nowhere.example":  "5.1.2",
		"away.example":     "temporary",
		"x.broken":         "temporary",
	} {
		hosts, err := f.Hosts(t.Context(), domain)
		got := fmt.Sprint(hosts)
		if dead, ok := errors.AsType[*route.Dead](err); ok {
			got = dead.Status
		} else if err != nil {
			got = "temporary"
		}
		if got != want {
			t.Errorf("%s: got %s, %v; want %s", domain, got, err, want)
		}
	}
	if hosts, err := f.Hosts(t.Context(), "many.example"); err != nil || len(hosts) != 3 {
		t.Errorf("many addresses: %v, %v; want three", hosts, err)
	}
	if hosts, err := route.New(addr, "relay.example", true).Hosts(t.Context(), "inside.example"); err != nil || len(hosts) != 3 {
		t.Errorf("private networks allowed: %v, %v; want three hosts", hosts, err)
	}
	if _, err := route.New("", "relay.example", true).Hosts(t.Context(), "two.example"); !errors.Is(err, route.ErrNoRoute) {
		t.Errorf("without a resolver: %v, want %v", err, route.ErrNoRoute)
	}
}
