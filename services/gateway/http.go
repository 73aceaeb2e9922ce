package gateway

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lease.PathLease, s.handle(s.postLease))
	mux.HandleFunc("PUT "+lease.PathLease+"/{id}", s.handle(s.putLease))
	mux.HandleFunc("DELETE "+lease.PathLease+"/{id}", s.handle(s.deleteLease))
	mux.HandleFunc("GET "+lease.PathStatus, s.handle(s.getStatus))
	return mux
}

// handle adapts a function from request to answer (nil: 204) into a handler.
// It is the only place that bounds requests, writes responses, and logs; it
// logs nothing of the client.
func (s *Server) handle(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, lease.MaxRequest)
		var out any
		err := problem.Limit.Errorf("too many requests from your network: try again in a minute")
		if s.requests.allow(sourceOf(r.RemoteAddr), time.Now()) {
			out, err = f(r)
		} else {
			w.Header().Set("Retry-After", "60")
		}
		if err != nil {
			kind := problem.KindOf(err)
			if kind == problem.Internal {
				s.log.ErrorContext(r.Context(), "a request failed", "route", r.Pattern, "err", err)
			}
			write(w, kind.Status(), problem.ContentType, problem.DocumentOf(err))
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		write(w, http.StatusOK, "application/json", out)
	}
}

func write(w http.ResponseWriter, status int, typ string, doc any) {
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc) // A broken connection has nowhere to report to.
}

func (s *Server) postLease(r *http.Request) (any, error) {
	b, pq, err := s.bid(r)
	if err != nil {
		return nil, err
	}
	got, err := s.grant(r.Context(), b)
	if err != nil {
		return nil, err
	}
	return s.answer(b, &got, pq), nil
}

func (s *Server) putLease(r *http.Request) (any, error) {
	id, err := lease.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	b, pq, err := s.bid(r)
	if err != nil {
		return nil, err
	}
	got, err := s.renew(r.Context(), id, b)
	if err != nil {
		return nil, err
	}
	return s.answer(b, &got, pq), nil
}

func (s *Server) deleteLease(r *http.Request) (any, error) {
	id, err := lease.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if _, _, err := s.admit(r.TLS); err != nil {
		return nil, err
	}
	return nil, s.end(r.Context(), id)
}

func (s *Server) getStatus(*http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, places := len(s.table.rows), s.table.taken(s.now())
	return lease.Status{Load: max(lease.Load(n, s.cfg.Capacity), lease.Load(places, s.table.size)), PeersBucket: lease.Bucket(n)}, nil
}

// admit judges the certificate and the key exchange of a connection.
func (s *Server) admit(state *tls.ConnectionState) (b bid, pq bool, err error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return bid{}, false, problem.Unauthenticated.Errorf("show a client certificate")
	}
	cert := state.PeerCertificates[0]
	if !s.now().Before(cert.NotAfter) { // The connection has outlived it.
		return bid{}, false, problem.Permission.Errorf("the certificate has expired: fetch a new one and connect again")
	}
	// A PSK that arrives by another key exchange protects nothing (vpn.md 5.8).
	pq = state.CurveID == tls.X25519MLKEM768
	if !pq && !s.cfg.AllowClassical {
		return bid{}, false, problem.Permission.Errorf("connect with the key exchange X25519MLKEM768")
	}
	plan, err := certs.PlanOf(cert)
	if err != nil {
		return bid{}, false, err
	}
	return bid{owner: s.book.of(cert.Raw), plan: plan, until: cert.NotAfter}, pq, nil
}

// bid reads what a client asks for.
func (s *Server) bid(r *http.Request) (bid, bool, error) {
	b, pq, err := s.admit(r.TLS)
	if err != nil {
		return bid{}, false, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bid{}, false, problem.Invalid.Errorf("the request did not arrive whole, or has more than %d bytes", lease.MaxRequest)
	}
	b.req, err = lease.ParseRequest(body)
	if err == nil && b.req.WGPublicKey == s.public {
		err = problem.Invalid.Errorf("this is the gateway's own key: make a new key pair")
	}
	return b, pq, err
}

// answer is the lease as its client sees it.
func (s *Server) answer(b bid, r *row, pq bool) lease.Lease {
	now := s.now()
	l := lease.Lease{
		LeaseID: r.id, GatewayPublicKey: s.public, Endpoints: s.endpoints(b.req.Want.Transport), Addresses: s.table.prefixes(r),
		DNS: s.cfg.Own()[:1], MTU: s.cfg.MTU, PSK: r.psk, PQ: pq, Plan: r.plan,
		NotAfter: r.end, RenewAfter: now.Add(r.end.Sub(now) / 2).UTC().Truncate(time.Second),
	}
	if r.ipv6 {
		l.DNS = s.cfg.Own()
	}
	if r.plan == lease.Limited {
		l.RateBytesPerS = s.cfg.Rate
	}
	return l
}

// endpoints lists where datagrams go, the wanted transport first.
func (s *Server) endpoints(want lease.Proto) (list []lease.Endpoint) {
	var over []lease.Endpoint
	for _, e := range s.cfg.Entry {
		list = append(list, lease.Endpoint{Addr: e.Addr, Ports: e.Ports, Proto: lease.UDP})
		if len(e.TLSPorts) > 0 {
			over = append(over, lease.Endpoint{Addr: e.Addr, Ports: e.TLSPorts, Proto: lease.UDP2TCP})
		}
	}
	if want == lease.UDP2TCP {
		return append(over, list...)
	}
	return append(list, over...)
}

// sourceOf returns the network that a client is counted by.
func sourceOf(remote string) netip.Prefix {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // All of these are one.
	}
	addr := a.Addr().Unmap()
	if addr.Is6() {
		p, _ := addr.WithZone("").Prefix(56) // A customer's share (RFC 6177).
		return p
	}
	return netip.PrefixFrom(addr, 32)
}
