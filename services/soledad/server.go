package soledad

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/smtpline"
)

// version is what GET / says. It follows the original's, whose last is 0.10.5.
const version = "0.11.0"

// Server is one sync server.
type Server struct {
	cfg       Config
	stores    Stores
	log       *slog.Logger
	exchanges exchanges
	writers   locks // Of documents, by user.
	uploads   locks // Of blobs, by user.
	waiters   slots
	transfers slots
	sizes     sizes
	created   *smtpline.Meter[string] // Shared documents of each user.
	memory    *semaphore.Weighted

	// Seams for tests.
	patience   time.Duration
	maxChanges int
}

// New returns a server over stores. It touches neither network nor disk.
func New(cfg Config, stores Stores, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if stores.Tokens == nil || stores.Shared == nil || stores.Open == nil || cfg.EnsureCreates && stores.Create == nil {
		return nil, errors.New("a store is missing")
	}
	cfg = cfg.withDefaults()
	return &Server{
		cfg:       cfg,
		stores:    stores,
		log:       log,
		waiters:   slots{max: cfg.Waiters, each: waitersEach},
		transfers: slots{max: cfg.Transfers, each: transfersEach},
		created:   smtpline.NewMeter[string](smtpline.Rate{Every: sharedEvery, Burst: sharedBurst}),
		memory:    semaphore.NewWeighted(cfg.Memory),

		patience:   patience,
		maxChanges: maxChanges,
	}, nil
}

// Run listens and serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	return s.Serve(ctx, ln)
}

// Serve serves ln until ctx is done. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	cert, err := s.certificate()
	if err != nil {
		ln.Close()
		return err
	}
	hs := &http.Server{
		Handler:        s.handler(ctx),
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // Says little but who broke off.
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	return daemon.Serve(ctx, tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}), hs)
}

func (s *Server) certificate() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("loading the certificate: %w", err)
	}
	return cert, nil
}

// Check returns an error if the database cannot be asked or the certificate is
// not to be used now.
func (s *Server) Check(ctx context.Context) error {
	cert, err := s.certificate()
	if err != nil {
		return err
	}
	if now := time.Now(); now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
		return errors.New("the certificate is not valid now")
	}
	if _, err := s.stores.Tokens.User(ctx, "check"); !errors.Is(err, problem.Unauthenticated) {
		return fmt.Errorf("asking the database: %w", err)
	}
	return nil
}
