package relay_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/protocol/certs"
)

// An office makes certificates and keys. It is made once.
type office struct {
	caKey    *ecdsa.PrivateKey
	ca       *x509.Certificate // Of servers and clients alike.
	server   tls.Certificate
	alice    tls.Certificate // Remembered.
	aliceNew tls.Certificate // Not remembered by the identity.
	aliceOld tls.Certificate // Remembered, but past its date there.
	dkim     map[string]crypto.Signer
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (o *office) issue(tmpl *x509.Certificate) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(certs.Create(tmpl, o.ca, key.Public(), o.caKey, rand.Reader))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

var theOffice = sync.OnceValue(func() *office {
	o := &office{caKey: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	tmpl := certs.CA("LEAP", "example.org", true, time.Now())
	o.ca = must(x509.ParseCertificate(must(certs.Create(tmpl, tmpl, o.caKey.Public(), o.caKey, rand.Reader))))
	o.server = o.issue(must(certs.Server([]string{"smtp.example.org", "mx.example.org"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())))
	o.alice = o.issue(certs.SMTPClient("alice@example.org", time.Hour, time.Now()))
	o.aliceNew = o.issue(certs.SMTPClient("alice@example.org", time.Hour, time.Now()))
	o.aliceOld = o.issue(certs.SMTPClient("alice@example.org", time.Hour, time.Now()))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	o.dkim = map[string]crypto.Signer{"e1": must(ed, err), "r1": must(rsa.GenerateKey(rand.Reader, 2048))}
	return o
})

// dkimRecords are the TXT records of the DKIM keys.
func (o *office) dkimRecords() []string {
	ed := base64.StdEncoding.EncodeToString(o.dkim["e1"].Public().(ed25519.PublicKey))
	rs := base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(o.dkim["r1"].Public())))
	return []string{
		`e1._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p=` + ed + `"`,
		`r1._domainkey.example.org. TXT "v=DKIM1; k=rsa; p=" "` + rs[:200] + `" "` + rs[200:] + `"`,
	}
}

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

// dialTo makes a resolver ask one address.
func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}
