package ca

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Certificates is the database of the pool and of the requests.
type Certificates interface {
	// Take removes one entry of a plan, or of any (""), from the pool and
	// returns it; no two callers get the same. None is problem.Unavailable.
	Take(ctx context.Context, plan lease.Plan) (record.Certificate, error)
	// Add puts an entry into the pool.
	Add(ctx context.Context, c record.Certificate) error
	// Count returns the number of entries of a plan, or of any (""), in the pool.
	Count(ctx context.Context, plan lease.Plan) (int, error)
	// Follow calls f at the start and after every change, one call at a time,
	// until ctx is done, f returns an error, or the feed fails.
	Follow(ctx context.Context, f func(pending []record.CertRequest, poolSize int) error) error
	// Answer stores the answer to req: the certificate, or, when certPEM is
	// empty, req.Error. A request that is gone is problem.NotExist or
	// problem.Stale.
	Answer(ctx context.Context, req record.CertRequest, certPEM string) error
}

const (
	opTimeout  = 30 * time.Second
	minBackoff = time.Second
	maxBackoff = time.Minute
	settled    = 3 * time.Second // A feed that lives this long works.
)

// Server is one CA.
type Server struct {
	cfg      Config
	vpnLife  time.Duration
	smtpLife time.Duration
	store    Certificates
	log      *slog.Logger
	wake     chan struct{} // Tells the filler that the pool may have shrunk.

	mu        sync.Mutex // Guards what follows.
	following time.Time  // When the feed began; zero: it is down.
	feedErr   error      // Why it was down last.
	fillErr   error      // Why the filler cannot go on.
	answerErr error      // Why the latest answer could not be stored.
	pool      int        // Size of the pool when last told; -1: not told.
}

// New returns a CA that works on store. It reads no file: Run does.
func New(cfg Config, store Certificates, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.PoolSize = cmp.Or(cfg.PoolSize, defaultPoolSize)
	if len(cfg.Plans) == 0 {
		cfg.Plans = []lease.Plan{lease.Plan(strings.ToLower(cmp.Or(cfg.Prefix, defaultPrefix)))}
	}
	s := &Server{cfg: cfg, store: store, log: log, wake: make(chan struct{}, 1), pool: -1}
	s.vpnLife, _ = life("vpn_life", cfg.VPNLife, defaultVPNLife) // Validated above.
	s.smtpLife, _ = life("smtp_life", cfg.SMTPLife, defaultSMTPLife)
	return s, nil
}

// Run reads the CA's key and works until ctx is done. It ends early only when
// the key cannot be read or does not fit the certificate.
func (s *Server) Run(ctx context.Context) error {
	a, err := loadAuthority(s.cfg)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.fill(ctx, a) })
	wg.Go(func() { s.sweep(ctx) })
	s.follow(ctx, a)
	wg.Wait()
	return nil
}

// Check reports whether requests are answered and the pool is kept full: the
// feed is up, the latest answer was stored, the filler works, and the pool is
// not empty.
func (s *Server) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := !s.following.IsZero()
	young := time.Since(s.following) < settled
	switch {
	case s.feedErr != nil && (!up || young):
		return fmt.Errorf("following the requests: %w", s.feedErr)
	case s.answerErr != nil:
		return fmt.Errorf("answering a request: %w", s.answerErr)
	case s.fillErr != nil:
		return fmt.Errorf("filling the pool: %w", s.fillErr)
	case s.pool < 0:
		return problem.Unavailable.Errorf("starting")
	case s.pool == 0:
		return problem.Unavailable.Errorf("the pool is empty")
	}
	return nil
}

// follow answers requests and wakes the filler until ctx is done.
func (s *Server) follow(ctx context.Context, a *authority) {
	var b backoff
	for ctx.Err() == nil {
		start := time.Now()
		s.mu.Lock()
		s.following = start
		s.mu.Unlock()
		err := s.store.Follow(ctx, func(pending []record.CertRequest, poolSize int) error {
			s.noted(poolSize)
			return s.answerAll(ctx, a, pending)
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = problem.Unavailable.Errorf("the feed ended")
		}
		if time.Since(start) >= settled {
			b = backoff{}
		}
		s.mu.Lock()
		s.following, s.feedErr = time.Time{}, err
		s.mu.Unlock()
		wait := b.next()
		s.log.Warn("feed of requests failed", "err", err, "retry_in", wait)
		sleep(ctx, wait)
	}
}

// noted takes note of the pool's size and wakes the filler.
func (s *Server) noted(poolSize int) {
	s.mu.Lock()
	s.pool = poolSize
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // It is awake.
	}
}
