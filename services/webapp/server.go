package webapp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// Server is one webapp.
type Server struct {
	cfg    Config
	st     Stores
	log    *slog.Logger
	limits limiters
	rsa    chan struct{} // Holds a token for each RSA key being made.
	read   time.Duration // Timeout of requests.
	poll   time.Duration // Between two questions to a gateway.
}

// New returns a webapp that works on st. It reads no file: Run does.
func New(cfg Config, st Stores, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.MinClientVersion = cmp.Or(cfg.MinClientVersion, defaultMinClient)
	cfg.Bootstrap = cmp.Or(cfg.Bootstrap, "leapc provider add "+cfg.Domain)
	return &Server{
		cfg:    cfg,
		st:     st,
		log:    log,
		limits: newLimiters(cfg.Limits),
		rsa:    make(chan struct{}, 1),
		read:   readTimeout,
		poll:   pollEvery,
	}, nil
}

// Run listens on both ports and serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	api, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	web, err := lc.Listen(ctx, "tcp", s.cfg.WebListen)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	return s.Serve(ctx, api, web)
}

// Serve reads the files of the configuration and serves the API on api and the
// pages on web, both by TLS, until ctx is done. It closes both.
func (s *Server) Serve(ctx context.Context, api, web net.Listener) error {
	defer api.Close() // For the way out by an error: served ones are closed.
	defer web.Close()
	t, err := s.load()
	if err != nil {
		return err
	}
	apiTLS, err := tlsConfig(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return err
	}
	webTLS, err := tlsConfig(s.cfg.WebCertFile, s.cfg.WebKeyFile)
	if err != nil {
		return err
	}
	tasks, err := s.listenTasks(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if tasks != nil {
		g.Go(func() error { return daemon.Serve(ctx, tasks, &http.Server{Handler: t.tasks(), ReadTimeout: s.read}) })
	}
	if t.gateways != nil && len(t.gateways.list.Gateways) > 0 {
		g.Go(func() error { t.gateways.follow(ctx, s.poll, s.st.Certificates, s.log); return nil })
	}
	g.Go(func() error { return s.serve(ctx, api, apiTLS, t.api()) })
	g.Go(func() error { return s.serve(ctx, web, webTLS, t.web()) })
	return g.Wait()
}

func tlsConfig(certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}

func (s *Server) serve(ctx context.Context, ln net.Listener, c *tls.Config, h http.Handler) error {
	return daemon.Serve(ctx, tls.NewListener(ln, c), &http.Server{
		Handler:        h,
		TLSConfig:      c,
		ReadTimeout:    s.read,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		// What it logs are failed handshakes, with addresses: not for info.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	})
}

// Check reports whether the database answers.
func (s *Server) Check(ctx context.Context) error {
	_, err := s.st.Users.ByID(ctx, strings.Repeat("0", 32))
	if err == nil || errors.Is(err, problem.NotExist) {
		return nil
	}
	return fmt.Errorf("looking into the users database: %w", err)
}
