package nickserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"leap.example/services/daemon"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Identities is the database of addresses, which services/couch opens. All
// methods return problem.NotExist when there is no such identity; what they
// return may be disabled, ownerless or without a key.
type Identities interface {
	// ByAddress returns the identity of an address, which has no suffix.
	ByAddress(ctx context.Context, addr nick.Address) (*record.Identity, error)
	// ByWKD returns the identity whose local part has the hash of
	// nick.WKDHash.
	ByWKD(ctx context.Context, hash string) (*record.Identity, error)
	// ByFingerprint returns the identity whose OpenPGP key has a fingerprint,
	// 40 or 64 lower-case hex digits, or a key id of 16 (RFC 9580, 5.5.4: the
	// last 16 digits of the first, the first 16 of the second kind). A key id
	// that fits two keys is problem.NotExist.
	ByFingerprint(ctx context.Context, fpr string) (*record.Identity, error)
}

// Foreign finds keys of addresses in other domains.
type Foreign interface {
	// Key returns the armored key of addr, problem.NotExist if it has none, or
	// problem.Unavailable if nobody who may know could be asked.
	Key(ctx context.Context, addr nick.Address) (string, error)
}

// Server is one nickserver.
type Server struct {
	cfg     Config
	ids     Identities
	foreign Foreign
	limit   *limiter
	log     *slog.Logger
}

// New returns a server that answers from ids and, for other domains, from
// foreign, which may be nil. It touches neither network nor disk.
func New(cfg Config, ids Identities, foreign Foreign, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Server{cfg, ids, foreign, newLimiter(cfg.Rate), log}, nil
}

// Run listens and serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(address string, serve func(context.Context, net.Listener) error) {
		wg.Go(func() {
			var lc net.ListenConfig
			ln, err := lc.Listen(ctx, "tcp", address)
			if err == nil {
				err = serve(ctx, ln)
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	start(s.cfg.Listen, s.Serve)
	if s.cfg.WKDListen != "" {
		start(s.cfg.WKDListen, s.ServeWKD)
	}
	wg.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// Serve serves the lookup listener ln until ctx is done. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, s.cfg.CertFile, s.cfg.KeyFile, s.routes())
}

// ServeWKD serves the directory listener ln until ctx is done. It closes ln.
func (s *Server) ServeWKD(ctx context.Context, ln net.Listener) error {
	cert, key := s.wkdFiles()
	return s.serve(ctx, ln, cert, key, s.wkdRoutes())
}

func (s *Server) wkdFiles() (cert, key string) {
	if s.cfg.WKDCertFile == "" {
		return s.cfg.CertFile, s.cfg.KeyFile
	}
	return s.cfg.WKDCertFile, s.cfg.WKDKeyFile
}

func (s *Server) serve(ctx context.Context, ln net.Listener, certFile, keyFile string, h http.Handler) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		ln.Close()
		return fmt.Errorf("loading the certificate: %w", err)
	}
	hs := &http.Server{
		Handler:        h,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // Says little but who broke off.
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	return daemon.Serve(ctx, tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}), hs)
}

// Check returns an error if the database cannot be asked or a certificate is
// not to be used now.
func (s *Server) Check(ctx context.Context) error {
	wkdCert, wkdKey := s.wkdFiles()
	for _, files := range [][2]string{{s.cfg.CertFile, s.cfg.KeyFile}, {wkdCert, wkdKey}} {
		cert, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			return fmt.Errorf("loading the certificate: %w", err)
		}
		if now := time.Now(); now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
			return fmt.Errorf("the certificate %s is not valid now", files[0])
		}
	}
	_, err := s.ids.ByAddress(ctx, nick.Address("check@"+s.cfg.Domain))
	if err != nil && !errors.Is(err, problem.NotExist) {
		return fmt.Errorf("asking the database: %w", err)
	}
	return nil
}
