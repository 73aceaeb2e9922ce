package mx_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leap.example/services/mx"
)

// serveDNS answers with records in zone-file form, and returns its address.
func serveDNS(t testing.TB, records ...string) string {
	t.Helper()
	byName := map[string][]dns.RR{}
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(rr.Header().Name)
		byName[name] = append(byName[name], rr)
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
		rrs, ok := byName[strings.ToLower(q.Question[0].Name)]
		if !ok {
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

// TestForgery: example.net wants mail refused that does not come from its own
// host, which is this one; example.com's is another.
func TestForgery(t *testing.T) {
	resolver := serveDNS(t,
		`example.net. TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.example.net. TXT "v=DMARC1; p=reject"`,
		`example.com. TXT "v=spf1 ip4:192.0.2.1 -all"`, `_dmarc.example.com. TXT "v=DMARC1; p=reject"`)
	s := start(t, func(c *mx.Config) { c.Resolver = resolver })
	if got := s.transfer(mail("1", "x"), "alice@example.org"); !strings.HasPrefix(got, "250") {
		t.Errorf("its own mail: %q, want 250", got)
	}
	forged := strings.Replace(mail("2", "x"), "carol@example.net", "boss@example.com", 1)
	if got := s.transfer(forged, "alice@example.org"); !strings.HasPrefix(got, "550 5.7.1") {
		t.Errorf("forged: %q, want 550 5.7.1", got)
	}
	lax := start(t, func(c *mx.Config) { c.Resolver, c.DMARCRecordOnly = resolver, true })
	if got := lax.transfer(forged, "alice@example.org"); !strings.HasPrefix(got, "250") {
		t.Errorf("forged, to be recorded: %q, want 250", got)
	}
	for _, tt := range []struct {
		site  *site
		dmarc string
	}{{s, "pass"}, {lax, "fail"}} {
		l := tt.site.letters(cast().alice)
		if len(l) != 1 {
			t.Fatalf("%d letters, want 1", len(l))
		}
		want := "Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.helo=peer.example.net smtp.mailfrom=carol@example.net;\r\n\tdmarc=" + tt.dmarc
		if l[0].SPF != "pass" || l[0].DKIM != "none" || l[0].DMARC != tt.dmarc || !strings.Contains(l[0].raw, want) {
			t.Errorf("spf=%s dkim=%s dmarc=%s, want pass, none, %s in\n%s", l[0].SPF, l[0].DKIM, l[0].DMARC, tt.dmarc, l[0].raw)
		}
	}
}

func TestSwaks(t *testing.T) {
	path, err := exec.LookPath("swaks")
	if err != nil {
		t.Skip("the Debian package swaks is not installed")
	}
	s := start(t)
	common := []string{"--server", s.addr, "--ehlo", "peer.example.net", "--from", "carol@example.net", "--tls"}
	for _, tt := range []struct {
		name string
		args []string
		ok   bool
		want string
	}{
		{"TLS", []string{"--to", "alice@example.org", "--body", "one"}, true, "250 2.0.0 Taken as"},
		{"pipelining", []string{"--to", "alice@example.org,bob@example.org", "--pipeline", "--body", "two"}, true, "250 2.0.0 Taken as"},
		{"unknown", []string{"--to", "nobody@example.org"}, false, "550 5.1.1"},
		{"no key", []string{"--to", "nokey@example.org"}, false, "451 4.7.5"},
	} {
		out, err := exec.CommandContext(t.Context(), path, append(common, tt.args...)...).CombinedOutput()
		if (err == nil) != tt.ok || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: %v, want %q in\n%s", tt.name, err, tt.want, out)
		}
	}
	if a, b := len(s.letters(cast().alice)), len(s.letters(cast().bob)); a != 2 || b != 1 {
		t.Errorf("alice has %d and bob %d letters, want 2 and 1", a, b)
	}
}
