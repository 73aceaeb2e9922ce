package session_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"leap.example/client/session"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/srp"
)

const domain = "example.test"

// authority is a CA of the tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := certs.CA(name, domain, false, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem := certs.EncodeCert(der)
	cert, err := certs.ParseCert(pem)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem}
}

func (a authority) fingerprint() string { return provider.FingerprintOf(a.cert.Raw) }

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// serverCert is a certificate for all names of the fake provider.
func (a authority) serverCert(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := certs.Server([]string{domain, "api." + domain}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := certs.Create(tmpl, a.cert, key.Public(), a.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// fake is a provider that speaks the wire: a web host, the API, and a DNS
// server that knows both names.
type fake struct {
	ca       authority // Of the API.
	public   authority // Of the web host, unless it was started with ca.
	web, api string    // host:port.
	resolver string
	smtpKey  *rsa.PrivateKey
	smtpLife time.Duration

	mu        sync.Mutex
	questions map[string]int // DNS.
	requests  []string       // "METHOD path status", in order.
	minimum   string         // X-Minimum-Client-Version.
	doc       provider.Provider
	users     map[string]*user
	pending   map[string]*pending // By cookie.
	tokens    map[string]string   // Token to login.
	key       string              // Published.
	// intercept may answer in the provider's place.
	intercept func(w http.ResponseWriter, r *http.Request) bool
	// spoil may change an answer to a handshake.
	spoil func(*bonafide.HandshakeResponse)
}

type user struct {
	id, salt, verifier string
	suite              srp.Suite
	kdf                *srp.KDF
}

type pending struct {
	login string
	state []byte
}

// newFake starts a provider. With pinned, its web host is vouched for by its
// own CA, else by a public one.
func newFake(t *testing.T, pinned bool) *fake {
	t.Helper()
	f := &fake{
		ca: newAuthority(t, "Example"), public: newAuthority(t, "Public"), smtpLife: 30 * 24 * time.Hour,
		questions: map[string]int{}, users: map[string]*user{}, pending: map[string]*pending{}, tokens: map[string]string{},
	}
	webCA := f.public
	if pinned {
		webCA = f.ca
	}
	f.resolver = f.serveDNS(t)
	f.web = domain + ":" + f.listen(t, webCA)
	f.api = "api." + domain + ":" + f.listen(t, f.ca)
	f.doc = provider.Provider{
		APIURI: "https://" + f.api, APIVersion: "1", CACertFingerprint: f.ca.fingerprint(), CACertURI: "https://" + f.web + "/ca.crt",
		Domain: domain, EnrollmentPolicy: "open", Name: map[string]string{"en": "Example"}, Services: []string{"mx"},
	}
	return f
}

// listen serves all routes under a certificate of a and returns the port.
func (f *fake) listen(t *testing.T, a authority) string {
	t.Helper()
	s := httptest.NewUnstartedServer(f.routes())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.serverCert(t)}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // Refused handshakes are part of the tests.
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (f *fake) options() session.Options {
	return session.Options{Resolver: f.resolver, Roots: f.public.pool()}
}

// serveDNS answers every A question with 127.0.0.1.
func (f *fake) serveDNS(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			f.mu.Lock()
			f.questions[q.Name.String()]++
			f.mu.Unlock()
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from) // A lost answer is asked for again.
			}
		}
	})
	return pc.LocalAddr().String()
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// bootstrap returns the provider as a client sees it.
func (f *fake) bootstrap(t *testing.T, opt session.Options) *session.Provider {
	t.Helper()
	p, err := session.Bootstrap(t.Context(), f.web, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// login signs up alice with the password "secret" and logs in.
func (f *fake) login(t *testing.T, p *session.Provider) *session.Session {
	t.Helper()
	_, cred, err := p.SignUp(t.Context(), session.Account{Login: "alice"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Login(t.Context(), session.Account{Login: "alice", Known: cred}, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// addUser signs a user up with the cheapest parameters.
func (f *fake) addUser(t *testing.T, suite srp.Suite, login, password string) {
	t.Helper()
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &srp.KDF{Name: "argon2id", T: 2, M: 19456, P: 1}
	sec, err := srp.Derive(suite, login, password, salt, *k)
	if err != nil {
		t.Fatal(err)
	}
	if suite == srp.LEAP1024 {
		k = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[login] = &user{fmt.Sprintf("%032x", 0xa0+len(f.users)), hex.EncodeToString(salt), sec.Verifier(), suite, k}
}
