package dns_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"leap.example/services/dns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is the zone of most tests.
func zone() dns.ConfigZone {
	provider := dns.ConfigProvider{
		Domain: "example.org",
		Hosts: []dns.ConfigHost{
			{Name: "", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
			{Name: "mx1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.25")}},
			{Name: "smtp", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.26")}},
		},
		MX:     []string{"mx1", "smtp"},
		DKIM:   []dns.ConfigDKIM{{"202611a", "ed25519", "AAAA"}, {"202610a", "rsa", ""}},
		DMARC:  dns.ConfigDMARC{Report: "dmarc@example.org"},
		STS:    "1",
		TLSRPT: "tls@example.org",
		CAA:    []string{"ca.example"},
	}
	return dns.ConfigZone{
		Name:        "example.org",
		SOA:         dns.ConfigSOA{Contact: "dns.admin@example.org", Serial: 7},
		NameServers: []string{"ns1.example.org", "ns2.elsewhere.example"},
		Records: append(provider.Records(),
			dns.ConfigRecord{Name: "www", Type: "CNAME", Value: "example.org"},
			dns.ConfigRecord{Name: "web", Type: "CNAME", Value: "www.example.org"},
			dns.ConfigRecord{Name: "out", Type: "CNAME", Value: "host.other.test"},
			dns.ConfigRecord{Name: "dead", Type: "CNAME", Value: "nowhere.example.org"},
			dns.ConfigRecord{Name: "a.deep", Type: "A", Value: "192.0.2.9", TTL: 60},
			dns.ConfigRecord{Name: "big", Type: "TXT", Value: strings.Repeat("x", 4000)},
			dns.ConfigRecord{Name: "mid", Type: "TXT", Value: strings.Repeat("y", 900)},
			dns.ConfigRecord{Name: "odd", Type: "TXT", Value: `a"b\c` + "\x00é"}),
	}
}

type serveFunc func(*dns.Server, context.Context, *net.UDPConn, net.Listener) error

// start serves one role of a server with cfg on one loopback port of both
// transports, and returns its address.
func start(t *testing.T, cfg dns.Config, serve serveFunc) string {
	t.Helper()
	srv, err := dns.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pc, ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(srv, ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return ln.Addr().String()
}

// listen opens a port for both transports.
func listen(t testing.TB) (*net.UDPConn, net.Listener) {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ln.Addr().String())))
		if err == nil {
			return pc, ln
		}
		ln.Close() // Another process has the UDP port: draw again.
	}
	t.Fatal("no free port")
	return nil, nil
}

func authoritative(t *testing.T, cfg dns.Config) string {
	cfg.Authoritative.Listen = []string{"unused:0"}
	return start(t, cfg, (*dns.Server).ServeAuthoritative)
}

func resolver(t *testing.T, cfg dns.Config) string {
	cfg.Resolver.Listen = []string{"127.0.0.1:0"}
	return start(t, cfg, (*dns.Server).ServeResolver)
}

// exchange asks m at addr.
func exchange(t testing.TB, network, addr string, m *mdns.Msg) *mdns.Msg {
	t.Helper()
	c := mdns.Client{Net: network, Timeout: 8 * time.Second, UDPSize: 4096}
	r, _, err := c.ExchangeContext(t.Context(), m, addr)
	if err != nil {
		t.Fatalf("asking %s for %v: %v", network, m.Question, err)
	}
	return r
}

func ask(name string, qtype uint16) *mdns.Msg { return new(mdns.Msg).SetQuestion(name, qtype) }

// show renders what matters of an answer.
func show(m *mdns.Msg) []string {
	head := []string{mdns.RcodeToString[m.Rcode]}
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionAvailable, "ra"}, {m.AuthenticatedData, "ad"}} {
		if f.set {
			head = append(head, f.name)
		}
	}
	out := []string{strings.Join(head, " ")}
	for _, rr := range m.Answer {
		out = append(out, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, rr := range m.Ns {
		out = append(out, "ns: "+strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return out
}

const negative = `ns: example.org. 300 IN SOA ns1.example.org. dns\.admin.example.org. 7 3600 600 1209600 300`

func TestAuthoritative(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone(), {
		Name: "sub.example.org", SOA: dns.ConfigSOA{Serial: 1}, NameServers: []string{"ns1.example.org"}, TTL: 60,
		Records: []dns.ConfigRecord{{Type: "A", Value: "192.0.2.77"}, {Name: "up", Type: "CNAME", Value: "mx1.example.org"}},
	}}})
	for _, tt := range []struct {
		name string
		typ  uint16
		want []string
	}{
		{"mx1.example.org.", mdns.TypeA, []string{"NOERROR aa", "mx1.example.org. 3600 IN A 192.0.2.25"}},
		{"MX1.Example.ORG.", mdns.TypeA, []string{"NOERROR aa", "mx1.example.org. 3600 IN A 192.0.2.25"}},
		{"example.org.", mdns.TypeAAAA, []string{"NOERROR aa", "example.org. 3600 IN AAAA 2001:db8::1"}},
		{"example.org.", mdns.TypeMX, []string{"NOERROR aa", "example.org. 3600 IN MX 10 mx1.example.org.", "example.org. 3600 IN MX 20 smtp.example.org."}},
		{"example.org.", mdns.TypeNS, []string{"NOERROR aa", "example.org. 3600 IN NS ns1.example.org.", "example.org. 3600 IN NS ns2.elsewhere.example."}},
		{"example.org.", mdns.TypeSOA, []string{"NOERROR aa", strings.Replace(strings.TrimPrefix(negative, "ns: "), " 300 IN", " 3600 IN", 1)}},
		{"example.org.", mdns.TypeTXT, []string{"NOERROR aa", `example.org. 3600 IN TXT "v=spf1 mx -all"`}},
		{"example.org.", mdns.TypeCAA, []string{"NOERROR aa", `example.org. 3600 IN CAA 0 issue "ca.example"`}},
		{"mx1.example.org.", mdns.TypeTXT, []string{"NOERROR aa", `mx1.example.org. 3600 IN TXT "v=spf1 a -all"`}},
		{"_dmarc.example.org.", mdns.TypeTXT, []string{"NOERROR aa", `_dmarc.example.org. 3600 IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:dmarc@example.org"`}},
		{"202611a._domainkey.example.org.", mdns.TypeTXT, []string{"NOERROR aa", `202611a._domainkey.example.org. 3600 IN TXT "v=DKIM1; k=ed25519; p=AAAA"`}},
		{"_mta-sts.example.org.", mdns.TypeTXT, []string{"NOERROR aa", `_mta-sts.example.org. 3600 IN TXT "v=STSv1; id=1"`}},
		{"_submissions._tcp.example.org.", mdns.TypeSRV, []string{"NOERROR aa", "_submissions._tcp.example.org. 3600 IN SRV 0 0 465 smtp.example.org."}},
		{"_imap._tcp.example.org.", mdns.TypeSRV, []string{"NOERROR aa", "_imap._tcp.example.org. 3600 IN SRV 0 0 0 ."}},
		{"a.deep.example.org.", mdns.TypeA, []string{"NOERROR aa", "a.deep.example.org. 60 IN A 192.0.2.9"}},
		{"odd.example.org.", mdns.TypeTXT, []string{"NOERROR aa", `odd.example.org. 3600 IN TXT "a\"b\\c\000\195\169"`}},

		{"www.example.org.", mdns.TypeCNAME, []string{"NOERROR aa", "www.example.org. 3600 IN CNAME example.org."}},
		{"web.example.org.", mdns.TypeA, []string{"NOERROR aa", "web.example.org. 3600 IN CNAME www.example.org.", "www.example.org. 3600 IN CNAME example.org.", "example.org. 3600 IN A 192.0.2.1"}},
		{"web.example.org.", mdns.TypeCAA, []string{"NOERROR aa", "web.example.org. 3600 IN CNAME www.example.org.", "www.example.org. 3600 IN CNAME example.org.", `example.org. 3600 IN CAA 0 issue "ca.example"`}},
		{"web.example.org.", mdns.TypeSRV, []string{"NOERROR aa", "web.example.org. 3600 IN CNAME www.example.org.", "www.example.org. 3600 IN CNAME example.org.", negative}},
		{"out.example.org.", mdns.TypeA, []string{"NOERROR aa", "out.example.org. 3600 IN CNAME host.other.test."}},
		{"dead.example.org.", mdns.TypeA, []string{"NXDOMAIN aa", "dead.example.org. 3600 IN CNAME nowhere.example.org.", negative}},
		{"up.sub.example.org.", mdns.TypeA, []string{"NOERROR aa", "up.sub.example.org. 60 IN CNAME mx1.example.org.", "mx1.example.org. 3600 IN A 192.0.2.25"}},
		{"sub.example.org.", mdns.TypeA, []string{"NOERROR aa", "sub.example.org. 60 IN A 192.0.2.77"}},

		{"nowhere.example.org.", mdns.TypeA, []string{"NXDOMAIN aa", negative}},
		{"x.mx1.example.org.", mdns.TypeA, []string{"NXDOMAIN aa", negative}},
		{"mx1.example.org.", mdns.TypeAAAA, []string{"NOERROR aa", negative}},
		{"deep.example.org.", mdns.TypeA, []string{"NOERROR aa", negative}},
		{"_domainkey.example.org.", mdns.TypeTXT, []string{"NOERROR aa", negative}},
		{"example.org.", mdns.TypeANY, []string{"NOERROR aa", `example.org. 8482 IN HINFO "RFC8482" ""`}},
		{"other.test.", mdns.TypeA, []string{"REFUSED"}},
		{".", mdns.TypeNS, []string{"REFUSED"}},
		{"myexample.org.", mdns.TypeA, []string{"REFUSED"}},
		{"example.org.", mdns.TypeIXFR, []string{"REFUSED"}},
	} {
		t.Run(tt.name+" "+mdns.TypeToString[tt.typ], func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				r := exchange(t, network, addr, ask(tt.name, tt.typ))
				if diff := cmp.Diff(tt.want, show(r)); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", network, diff)
				}
				if r.Question[0].Name != tt.name {
					t.Errorf("question came back as %q", r.Question[0].Name)
				}
			}
		})
	}
}

func TestTruncation(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone()}})
	for _, tt := range []struct {
		name     string
		network  string
		question string
		size     uint16 // Announced; 0: no EDNS.
		tc       bool
		limit    int
	}{
		{"plain", "udp", "mid.example.org.", 0, true, 512},
		{"announced little", "udp", "mid.example.org.", 100, true, 512},
		{"announced enough", "udp", "mid.example.org.", 1232, false, 1232},
		{"announced more than we send", "udp", "big.example.org.", 65000, true, 1232},
		{"tcp", "tcp", "big.example.org.", 0, false, 65535},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := ask(tt.question, mdns.TypeTXT)
			if tt.size > 0 {
				m.SetEdns0(tt.size, true)
			}
			r := exchange(t, tt.network, addr, m)
			if r.Truncated != tt.tc || r.Len() > tt.limit || (len(r.Answer) > 0) == tt.tc {
				t.Errorf("truncated %t, %d bytes, %d answers", r.Truncated, r.Len(), len(r.Answer))
			}
			if opt := r.IsEdns0(); (opt != nil) != (tt.size > 0) || opt != nil && (opt.UDPSize() != 1232 || !opt.Do()) {
				t.Errorf("EDNS of the answer: %v", opt)
			}
		})
	}
}

func TestNetResolver(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone()}})
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	hosts, err := r.LookupHost(t.Context(), "web.example.org")
	slices.Sort(hosts)
	if err != nil || !slices.Equal(hosts, []string{"192.0.2.1", "2001:db8::1"}) {
		t.Errorf("hosts: %v, %v", hosts, err)
	}
	txt, err := r.LookupTXT(t.Context(), "big.example.org") // By TCP.
	if err != nil || len(txt) != 1 || len(txt[0]) != 4000 {
		t.Errorf("text: %d strings, %v", len(txt), err)
	}
	if mx, err := r.LookupMX(t.Context(), "example.org"); err != nil || len(mx) != 2 || mx[0].Host != "mx1.example.org." {
		t.Errorf("mail exchangers: %v, %v", mx, err)
	}
	var nx *net.DNSError
	if _, err := r.LookupHost(t.Context(), "nowhere.example.org"); err == nil || !asDNS(err, &nx) || !nx.IsNotFound {
		t.Errorf("unknown name: %v", err)
	}
}
