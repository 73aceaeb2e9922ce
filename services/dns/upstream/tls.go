package upstream

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/miekg/dns"
)

// secure asks by TLS. A connection that ended meanwhile is not the end of it:
// RFC 7766, 6.2.4.
func (s *server) secure(ctx context.Context, q Query) (*dns.Msg, error) {
	for last := false; ; last = true {
		p, err := s.connect(ctx)
		if err != nil {
			return nil, err
		}
		m, err := q.message(true)
		if err != nil {
			return nil, err
		}
		reply, err := p.exchange(ctx, m)
		if !errors.Is(err, errClosed) || last {
			return reply, err
		}
	}
}

// connect returns the connection to the server, opened if there is none. Who
// asks meanwhile waits for it.
func (s *server) connect(ctx context.Context) (*pipe, error) {
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	old := s.pipe
	s.mu.Unlock()
	if old != nil && old.alive() {
		return old, nil
	}
	cfg, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: cfg}
	conn, err := d.DialContext(ctx, "tcp", s.Addr.String())
	if err != nil {
		return nil, err
	}
	p := newPipe(conn)
	s.mu.Lock()
	s.pipe = p
	s.mu.Unlock()
	if old != nil {
		old.retire() // It may only be full.
	}
	s.readers.Go(p.read)
	return p, nil
}

// tlsConfig returns how the server proves itself: RFC 8310, 8.1 and 8.2.
func (s *server) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Name, ClientSessionCache: s.sessions}
	if len(s.Pins) > 0 {
		cfg.InsecureSkipVerify = true // The key decides: RFC 7858, 4.2.
		cfg.VerifyConnection = s.pinned
		return cfg, nil
	}
	text, err := os.ReadFile(s.caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates that vouch for it: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", s.caFile)
	}
	return cfg, nil
}

// pinned reports whether the server's public key is one of those expected.
func (s *server) pinned(state tls.ConnectionState) error {
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if !slices.Contains(s.Pins, sum) {
		return errors.New("its public key is not the one expected: if it was changed, change the pin in dns.resolver.upstreams")
	}
	return nil
}
