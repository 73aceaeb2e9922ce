package vpntest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// A Gateway gives leases. Its fields may be changed while it runs, with Set.
type Gateway struct {
	Name   string
	Listen netip.AddrPort // The lease API.

	srv *httptest.Server
	mu  sync.Mutex
	State
}

// State is how a Gateway behaves.
type State struct {
	Asked  []string             // Requests: method and path without the lease.
	Leases map[lease.ID]bool    // That it knows.
	Refuse map[string]error     // By method: the answer instead.
	Life   time.Duration        // Of leases.
	Spoil  func(l *lease.Lease) // Changes what it answers.
	Mute   bool                 // Its tunnel does not shake hands.
}

// NewGateway starts a gateway called name, whose certificate a signed.
func NewGateway(t testing.TB, a *Authority, name string, change func(*tls.Config)) *Gateway {
	t.Helper()
	g := &Gateway{Name: name}
	g.Leases, g.Refuse, g.Life = map[lease.ID]bool{}, map[string]error{}, time.Hour
	clients := x509.NewCertPool()
	clients.AddCert(a.Cert)
	g.srv = httptest.NewUnstartedServer(g.routes())
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.srv.TLS = &tls.Config{
		Certificates: []tls.Certificate{a.Server(t, name)}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	if change != nil {
		change(g.srv.TLS)
	}
	g.srv.StartTLS()
	t.Cleanup(g.Stop)
	g.Listen = g.srv.Listener.Addr().(*net.TCPAddr).AddrPort()
	return g
}

// Stop ends the gateway; nobody listens any more.
func (g *Gateway) Stop() {
	g.Set(func(s *State) { s.Mute = true })
	g.srv.CloseClientConnections()
	g.srv.Close()
}

// Set changes how the gateway behaves, or looks at it.
func (g *Gateway) Set(f func(*State)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.State)
}

// Answers reports whether its tunnel shakes hands.
func (g *Gateway) Answers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.Mute
}

// Key returns the private key of its tunnel.
func (g *Gateway) Key() lease.Key {
	var k lease.Key
	copy(k[:], g.Name)
	return k
}

// Machine returns g as a candidate.
func (g *Gateway) Machine() machine.Gateway {
	return machine.Gateway{Name: g.Name, Lease: []netip.AddrPort{g.Listen}}
}

func (g *Gateway) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lease.PathLease, g.give)
	mux.HandleFunc("PUT "+lease.PathLease+"/{id}", g.give)
	mux.HandleFunc("DELETE "+lease.PathLease+"/{id}", g.give)
	return mux
}

func (g *Gateway) give(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Asked = append(g.Asked, r.Method)
	l, err := g.lease(r)
	switch {
	case err != nil:
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(problem.KindOf(err).Status())
		json.NewEncoder(w).Encode(problem.DocumentOf(err))
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		json.NewEncoder(w).Encode(l)
	}
}

// lease is the answer to a request. The caller holds mu.
func (g *Gateway) lease(r *http.Request) (lease.Lease, error) {
	if err := g.Refuse[r.Method]; err != nil {
		return lease.Lease{}, err
	}
	var id lease.ID
	if r.Method == http.MethodPost {
		rand.Read(id[:]) // It never fails.
	} else if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil || !g.Leases[id] {
		return lease.Lease{}, problem.NotExist.Errorf("there is no such lease")
	}
	if r.Method == http.MethodDelete {
		delete(g.Leases, id)
		return lease.Lease{}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return lease.Lease{}, err
	}
	if _, err := lease.ParseRequest(body); err != nil {
		return lease.Lease{}, err
	}
	g.Leases[id] = true
	var psk lease.Key
	rand.Read(psk[:])
	l := lease.Lease{
		LeaseID: id, GatewayPublicKey: g.Key().Public(), PSK: psk, PQ: r.TLS.CurveID == tls.X25519MLKEM768, Plan: lease.Unlimited, MTU: lease.MinMTU,
		Endpoints: []lease.Endpoint{
			{Addr: g.Listen.Addr(), Ports: []uint16{443}, Proto: lease.UDP2TCP},
			{Addr: g.Listen.Addr(), Ports: []uint16{51820, 53}, Proto: lease.UDP},
			{Addr: netip.MustParseAddr("2001:db8::1"), Ports: []uint16{51820}, Proto: lease.UDP},
		},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.3.9/32")}, DNS: []netip.Addr{netip.MustParseAddr("10.64.0.1")},
		NotAfter: time.Now().Add(g.Life), RenewAfter: time.Now().Add(g.Life / 2),
	}
	if g.Spoil != nil {
		g.Spoil(&l)
	}
	return l, nil
}
