package bigcouch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
	"leap.example/services/daemon"
)

// shards is how many shards databases are spread over, not counting the one of
// the catalogue. A database keeps its shard; on one disk more are not faster.
const shards = 8

// idle is how long a client may leave us waiting for its next bytes, or for
// taking ours.
const idle = 30 * time.Second

// Server is one database node.
type Server struct {
	cfg  Config
	log  *slog.Logger
	fs   vfs.FS        // Where the store lies. Nil: the operating system's.
	idle time.Duration // How long a client may leave us waiting.
	jobs schedule      // Of replications.

	mu   sync.Mutex // Guards node.
	node *node      // Nil while the server does not run.
}

// New returns a server. The store is opened by Run.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg.withDefaults(), log: log, idle: idle, jobs: ordinary}, nil
}

// Run opens the store, listens, and serves until ctx is done. Its error wraps
// daemon.ErrFatal if the store is damaged, of another format, written by a later
// release, or sealed under a key that is not there.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	return s.Serve(ctx, ln)
}

// Serve opens the store and serves ln until ctx is done. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	err := s.serve(ctx, ln)
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrFormat) || errors.Is(err, store.ErrVersion) || errors.Is(err, ErrEngine) || cannotRead(err) {
		return fmt.Errorf("%w: %w", err, daemon.ErrFatal)
	}
	return err
}

func (s *Server) serve(ctx context.Context, ln net.Listener) error {
	auth, err := newAuth(s.cfg.Accounts, s.cfg.ProxySecretFile)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	fs, seal, err := disk(s.fs, s.cfg)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	st, err := store.Open(store.Options{
		Dir: s.cfg.Dir, FS: fs, CacheBytes: s.cfg.CacheBytes, MemTableBytes: s.cfg.MemTableBytes, Log: s.log,
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	// Requests in progress outlive ctx by the grace of daemon.Serve, and need
	// the log and the store until then.
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	parent := ctx
	ctx, fail := context.WithCancelCause(ctx)
	n := &node{cfg: s.cfg, log: s.log, idle: s.idle, store: st, auth: auth, metrics: newMetrics(st), seal: seal, stopping: ctx.Done(), scripts: view.NewEngine(view.Limits{})}
	n.names.begin()
	replCtx, stopRepl := context.WithCancel(ctx)
	var wg, repl sync.WaitGroup
	if n.repl, err = newReplicator(n, s.jobs); err == nil {
		n.engine, err = n.open(ctx)
	}
	if err == nil {
		wg.Go(func() { fail(n.engine.run(logCtx)) })
		wg.Go(func() { n.watch(ctx, fail) })
		wg.Go(func() { n.reseal(ctx, seal) })
		err = n.recoverAll(ctx)
	}
	if err == nil {
		repl.Go(func() { n.repl.run(replCtx) })
		s.setNode(n)
		err = daemon.Serve(ctx, ln, &http.Server{
			Handler:        n,
			IdleTimeout:    2 * time.Minute,
			MaxHeaderBytes: 128 << 10,
			ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		})
		s.setNode(nil)
	} else {
		err = errors.Join(err, ln.Close())
	}
	if parent.Err() == nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	if damage := st.Damage(); damage != nil && !errors.Is(err, damage) {
		err = errors.Join(damage, err) // Whatever stumbled over it first.
	}
	stopRepl()
	repl.Wait() // Replications leave a checkpoint: the log still runs.
	fail(nil)
	stopLog()
	wg.Wait()
	if n.engine != nil {
		n.engine.close()
	}
	n.gate.Lock() // For good: requests that were cut have let go of the store, and no other gets in.
	if parent.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // Stopped while it started.
	}
	return errors.Join(err, st.Close())
}

func (s *Server) setNode(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
}

// Check reports whether the node can read and write.
func (s *Server) Check(context.Context) error {
	s.mu.Lock()
	n := s.node
	s.mu.Unlock()
	if n == nil {
		return errors.New("the database is not open")
	}
	if n.full.Load() {
		return errors.New("the disk is full: writes are refused")
	}
	if !n.gate.TryRLock() {
		return errors.New("the database is closing")
	}
	defer n.gate.RUnlock()
	v := n.store.View()
	_, err := v.Database(usersDatabase)
	return errors.Join(err, v.Close())
}
