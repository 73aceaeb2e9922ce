package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"leap.example/services/daemon"
	"leap.example/services/protocol/lease"
)

// Server is the role: the lease API and what keeps its promises.
type Server struct {
	cfg      Config
	life     time.Duration
	plane    DataPlane
	requests *limiter // Of requests, by network.
	dials    *limiter // Of connections, by network.
	log      *slog.Logger
	now      func() time.Time // Of leases and certificates.

	public lease.Key // Set before anything is served.

	mu       sync.Mutex // Guards what follows, and orders the calls of the data plane.
	table    *table
	book     *book
	limited  map[netip.Addr]bool // What the data plane was told.
	compared bool                // Nothing has failed since the data plane was asked what it has, and told all limits.
	restored bool                // The data plane has what the book has.
}

// New returns a gateway that admits clients to plane. It touches neither
// network nor disk.
func New(cfg Config, plane DataPlane, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	life, err := cfg.life()
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, life: life, plane: plane, log: log, now: time.Now,
		requests: newLimiter(cfg.Requests), dials: newLimiter(4 * cfg.Requests),
	}, nil
}

// Run listens and serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	var lns []net.Listener
	for _, addr := range s.cfg.Listen {
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, ln := range lns {
				ln.Close()
			}
			return err
		}
		lns = append(lns, ln)
	}
	return s.Serve(ctx, lns...)
}

// Serve serves listeners until ctx is done. It closes them.
func (s *Server) Serve(ctx context.Context, lns ...net.Listener) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conf, err := s.open()
	if err != nil {
		for _, ln := range lns {
			ln.Close()
		}
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.keep(ctx) })
	gate := newGate(s.cfg.Connections, s.cfg.NetworkConnections, s.dials)
	conf = gate.admit(conf, s.book.of)
	for _, ln := range lns {
		wg.Go(func() {
			if err := s.serve(ctx, gate.watch(ln), conf); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	err = s.shut()
	if parent.Err() != nil {
		return err
	}
	return errors.Join(context.Cause(ctx), err)
}

// open reads the files of the configuration and the book of leases.
func (s *Server) open() (*tls.Config, error) {
	key, err := ReadKey(s.cfg.WGKeyFile)
	if err != nil {
		return nil, err
	}
	conf, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	book, rows, resting, err := openBook(s.cfg.RunDir, s.cfg.IPv4, s.cfg.IPv6)
	if err != nil {
		return nil, fmt.Errorf("opening the book of leases: %w", err)
	}
	s.public, s.book, s.table = key.Public(), book, newTable(s.cfg, s.life)
	s.table.restore(rows, resting)
	s.limited, s.compared, s.restored = map[netip.Addr]bool{}, false, false
	return conf, nil
}

func (s *Server) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored = false
	return s.book.close()
}

// ReadKey reads WireGuard's private key from a file.
func ReadKey(path string) (lease.Key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return lease.Key{}, err
	}
	key, err := lease.ParseKey(strings.TrimSpace(string(data)))
	if err != nil {
		return lease.Key{}, fmt.Errorf("%w: %s: %w", daemon.ErrFatal, path, err)
	}
	return key, nil
}

// tlsConfig is TLS 1.3 alone, with a certificate of the client CA from every
// client. There are no session tickets: they would carry certificates.
func (s *Server) tlsConfig() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate: %w", err)
	}
	ca, err := os.ReadFile(s.cfg.ClientCAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%w: %s has no certificate", daemon.ErrFatal, s.cfg.ClientCAFile)
	}
	curves := []tls.CurveID{tls.X25519MLKEM768}
	if s.cfg.AllowClassical {
		curves = append(curves, tls.X25519, tls.CurveP256)
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{cert},
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              pool,
		CurvePreferences:       curves,
		NextProtos:             []string{"h2", "http/1.1", lease.ALPN},
		SessionTicketsDisabled: true,
		Time:                   s.now,
	}, nil
}

func (s *Server) serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	conf = conf.Clone() // Each HTTP server writes into its own.
	hs := &http.Server{
		Handler:        s.routes(),
		TLSConfig:      conf,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute, // A kept connection renews without a handshake.
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // It would name addresses.
		Protocols:      new(http.Protocols),
	}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetHTTP2(true)
	var wg sync.WaitGroup
	defer wg.Wait()
	hs.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		lease.ALPN: func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
			wg.Add(1)
			defer wg.Done()
			s.carry(ctx, conn)
		},
	}
	return daemon.Serve(ctx, tls.NewListener(ln, conf), hs)
}

// Check reports whether clients can be admitted now.
func (s *Server) Check(ctx context.Context) error {
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("loading the certificate: %w", err)
	}
	if now := time.Now(); now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
		return fmt.Errorf("the certificate %s is not valid now", s.cfg.CertFile)
	}
	if _, err := s.plane.Peers.List(ctx); err != nil {
		return fmt.Errorf("the data plane: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.restored {
		return errors.New("the data plane does not have the leases yet")
	}
	return nil
}
