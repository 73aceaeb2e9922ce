package upstream_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A server is a resolver with TLS: the library's.
type server struct {
	addr    string
	pin     string
	caFile  string // Its certificate.
	keyFile string
	conns   atomic.Int32 // Connections made to it.

	answering sync.WaitGroup

	mu    sync.Mutex
	open  []net.Conn
	reply func(q *dns.Msg) *dns.Msg
	seen  []*dns.Msg
}

// counted counts connections and keeps them.
type counted struct {
	net.Listener
	s *server
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.s.conns.Add(1)
		c.s.mu.Lock()
		c.s.open = append(c.s.open, conn)
		c.s.mu.Unlock()
	}
	return conn, err
}

func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	s.seen = append(s.seen, q)
	reply := s.reply
	s.mu.Unlock()
	// The library's server would answer one after the other.
	s.answering.Go(func() { w.WriteMsg(reply(q)) })
}

// hangUp closes all connections.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
}

func echo(q *dns.Msg) *dns.Msg {
	r := new(dns.Msg).SetReply(q)
	r.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{q.Question[0].Name}}}
	return r
}

// newServer starts a resolver whose certificate is for dns.example.
func newServer(t *testing.T) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns"}, DNSNames: []string{"dns.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	s := &server{reply: echo, pin: base64.StdEncoding.EncodeToString(sum[:]), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(s.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.keyFile = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(s.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	run := &dns.Server{Listener: tls.NewListener(counted{ln, s}, cfg), Handler: s, MaxTCPQueries: -1}
	up, done := make(chan struct{}), make(chan error, 1)
	run.NotifyStartedFunc = func() { close(up) }
	go func() { done <- run.ActivateAndServe() }()
	<-up
	t.Cleanup(func() {
		s.answering.Wait()
		run.Shutdown()
		<-done
	})
	return s
}
