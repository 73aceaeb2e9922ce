package vpntest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"leap.example/client/session"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// A Provider is the account API as far as the VPN needs it.
type Provider struct {
	*Authority
	Name string
	API  netip.AddrPort

	t   testing.TB
	srv *httptest.Server
	mu  sync.Mutex
	Offer
}

// An Offer is what a Provider answers.
type Offer struct {
	Gateways  []*Gateway
	Life      time.Duration // Of certificates.
	Anonymous bool          // Gives certificates to everybody.
	Token     string        // By which it knows its user.
	Refuse    error         // The answer to everything instead.
	Fetched   int           // Certificates.
}

// Offline makes a Provider that is not reached answer nothing.
func (p *Provider) Offline() { p.srv.CloseClientConnections(); p.srv.Close() }

// NewProvider starts one, which is called localhost.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	return NewProviderAt(t, "localhost", "127.0.0.1")
}

// NewProviderAt starts one that is called name, at an address of this machine.
func NewProviderAt(t testing.TB, name, at string) *Provider {
	t.Helper()
	p := &Provider{Authority: NewAuthority(t), Name: name, t: t}
	p.Life, p.Anonymous = 48*time.Hour, true
	mux := http.NewServeMux()
	mux.HandleFunc("GET /provider.json", p.document)
	mux.HandleFunc("GET /ca.crt", func(w http.ResponseWriter, _ *http.Request) { w.Write(p.PEM) })
	mux.HandleFunc("POST /1/cert", p.answer(p.certificate))
	mux.HandleFunc("GET "+provider.PathGateways, p.answer(p.list))
	p.srv = httptest.NewUnstartedServer(mux)
	p.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.srv.TLS = &tls.Config{Certificates: []tls.Certificate{p.Server(t, name)}}
	listen(t, p.srv, at)
	p.srv.StartTLS()
	t.Cleanup(p.Offline)
	p.API = p.srv.Listener.Addr().(*net.TCPAddr).AddrPort()
	return p
}

// Set changes what the provider offers, or looks at it.
func (p *Provider) Set(f func(*Offer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.Offer)
}

// Session returns the provider as a client that has chosen it knows it.
func (p *Provider) Session(t testing.TB, dir string) *session.Provider {
	t.Helper()
	s, err := session.Bootstrap(t.Context(), p.Host(), session.Options{CAFingerprint: p.Fingerprint(), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Host returns what "leapc provider add" takes.
func (p *Provider) Host() string { return net.JoinHostPort(p.Name, fmt.Sprint(p.API.Port())) }

// Fingerprint returns that of the provider's CA.
func (p *Provider) Fingerprint() string { return provider.FingerprintOf(p.Cert.Raw) }

// listen has a server listen at another address than httptest's.
func listen(t testing.TB, srv *httptest.Server, at string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener.Close()
	srv.Listener = ln
}

func (p *Provider) document(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	json.NewEncoder(w).Encode(provider.Provider{
		APIURI: "https://" + p.Host(), CACertURI: "https://" + p.Host() + "/ca.crt", APIVersion: "1", Domain: p.Name,
		CACertFingerprint: p.Fingerprint(), EnrollmentPolicy: "open",
		Service: provider.Service{AllowAnonymous: p.Anonymous},
	})
}

// answer adapts f, which is called with mu.
func (p *Provider) answer(f func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		err := p.Refuse
		var body []byte
		if err == nil {
			body, err = f(r)
		}
		if err != nil {
			w.WriteHeader(problem.KindOf(err).Status())
			return
		}
		w.Write(body)
	}
}

func (p *Provider) certificate(r *http.Request) ([]byte, error) {
	if !p.Anonymous && (p.Token == "" || r.Header.Get("Authorization") != `Token token="`+p.Token+`"`) {
		return nil, problem.Unauthenticated
	}
	p.Fetched++
	return p.Client(p.t, p.Life), nil
}

func (p *Provider) list(*http.Request) ([]byte, error) {
	l := provider.GatewayList{Locations: map[string]provider.Location{
		"amsterdam": {Name: "Amsterdam", CountryCode: "NL", Timezone: "+1"},
		"new_york":  {Name: "New York", CountryCode: "US", Timezone: "-5"},
	}}
	for i, g := range p.Gateways {
		l.Gateways = append(l.Gateways, provider.Gateway{
			Name: "gw" + string(rune('1'+i)), Host: g.Name, Addresses: []netip.Addr{g.Listen.Addr()}, LeasePorts: []uint16{g.Listen.Port()},
			Transports: []provider.GatewayTransport{{Proto: lease.UDP, Ports: []uint16{51820}}}, Plans: []lease.Plan{lease.Unlimited},
			Location: []string{"amsterdam", "new_york"}[i%2], Healthy: true, Load: i,
		})
	}
	return json.Marshal(l)
}
