package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"leap.example/appliance/node"
)

// Defaults of a [Config].
const (
	defaultGrace    = 15 * time.Second
	defaultShutdown = 40 * time.Second
)

// A Config is what a supervisor needs to know.
type Config struct {
	// Command returns how a service is run. It is called before each start.
	Command func(service string) (Command, error)
	Logs    *Logs
	Log     *slog.Logger // Default: discard.
	// Reboot is called when somebody asks for a restart of the machine. It
	// returns at once, and the context of Run ends soon after.
	Reboot func()

	Grace    time.Duration // From SIGTERM to SIGKILL. 0: 15 s.
	Shutdown time.Duration // Until all are killed when Run ends. 0: 40 s.
}

// A Supervisor keeps services running.
type Supervisor struct {
	cfg      Config
	children children
	tasks    sync.WaitGroup

	mu      sync.Mutex // Guards what follows.
	closed  bool
	keepers []*keeper // In the order of their first start.
}

// ErrClosed is that the supervisor is about to end.
var ErrClosed = errors.New("the node is shutting down")

// New returns a supervisor without services.
func New(cfg Config) *Supervisor {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Shutdown == 0 {
		cfg.Shutdown = defaultShutdown
	}
	return &Supervisor{cfg: cfg, children: children{live: map[int]*child{}}}
}

// Run waits for processes until ctx is done. Then it stops all services, the
// one that was started last first, kills what is left when the time for it is
// over, and returns.
func (s *Supervisor) Run(ctx context.Context) {
	reaping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.children.wait(reaping) })
	<-ctx.Done()

	s.mu.Lock()
	s.closed = true
	last := slices.Clone(s.keepers)
	s.mu.Unlock()
	slices.Reverse(last)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Shutdown)
	defer cancel()
	for _, k := range last {
		k.stop(deadline)
	}
	s.tasks.Wait()
	stop()
	wg.Wait()
}

// Start has a service run. If it does already, or if it waits to be started
// again, nothing happens.
func (s *Supervisor) Start(ctx context.Context, service string) error {
	return s.start(ctx, service, false)
}

// Restart stops a service if it runs, and starts it. What was known about its
// earlier runs is forgotten.
func (s *Supervisor) Restart(ctx context.Context, service string) error {
	return s.start(ctx, service, true)
}

func (s *Supervisor) start(ctx context.Context, service string, again bool) error {
	if _, err := s.cfg.Command(service); err != nil {
		return fmt.Errorf("service %q: %w", service, err)
	}
	k, err := s.keeper(service)
	if err != nil {
		return err
	}
	k.order.Lock()
	defer k.order.Unlock()
	if k.runs() && !again {
		return nil
	}
	k.halt(ctx)
	return k.begin()
}

// Stop stops a service and returns when it has ended. One that does not run
// stays so.
func (s *Supervisor) Stop(ctx context.Context, service string) error {
	k, err := s.keeper(service)
	if err != nil {
		return err
	}
	k.stop(ctx)
	return nil
}

// List returns how all services are that were started and not stopped. Whether
// they are healthy is not known here.
func (s *Supervisor) List() map[string]node.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]node.ServiceStatus, len(s.keepers))
	for _, k := range s.keepers {
		if status, ordered := k.status(); ordered {
			all[k.name] = status
		}
	}
	return all
}

// keeper returns the keeper of a service, a new one if there is none.
func (s *Supervisor) keeper(name string) (*keeper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for _, k := range s.keepers {
		if k.name == name {
			return k, nil
		}
	}
	k := &keeper{s: s, name: name}
	s.keepers = append(s.keepers, k)
	return k, nil
}
