// Package daemon runs long-lived services: it starts them, restarts the ones
// that fail, says how they are, and stops them all when the context ends.
//
// A service is anything with a Run method. The same service value runs alone
// in its own process on a node (see [Main]) and beside all the others in one
// process on a developer's machine (see [Group]). It never knows which.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Service runs until ctx is done or it fails. Run returns nil only when ctx
// is done, and only after everything that it started has stopped.
type Service interface {
	Run(ctx context.Context) error
}

// A Checker is a Service that can tell whether it can do its work now. Check
// is called from any goroutine, while Run runs.
type Checker interface {
	Check(ctx context.Context) error
}

// ErrFatal means that a restart cannot help. Run wraps it.
var ErrFatal = errors.New("fatal")

var errReturned = errors.New("returned without being asked to")

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
	settled    = time.Minute // A run this long resets the backoff.
)

// A Group supervises named services. It is a Service itself.
type Group struct {
	Log  *slog.Logger // Defaults to slog.DiscardHandler.
	Once bool         // The first failure ends Run; nothing is restarted.

	members []*member
}

// Add adds a service. It must be called before Run.
func (g *Group) Add(name string, s Service) {
	g.members = append(g.members, &member{name: name, service: s})
}

// Run runs all services until ctx is done or one of them fails for good, then
// stops the others and waits for them.
func (g *Group) Run(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, m := range g.members {
		wg.Go(func() {
			if err := g.supervise(ctx, m); err != nil {
				cancel(fmt.Errorf("%s: %w", m.name, err))
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func (g *Group) supervise(ctx context.Context, m *member) error {
	log := g.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("service", m.name)
	backoff := minBackoff
	for {
		start := time.Now()
		m.starting(start)
		log.Info("starting")
		err := m.service.Run(ctx)
		if ctx.Err() != nil {
			log.Info("stopped", "err", err)
			return nil
		}
		if err == nil {
			err = errReturned
		}
		m.failed(err)
		if g.Once || errors.Is(err, ErrFatal) {
			return err
		}
		if time.Since(start) >= settled {
			backoff = minBackoff
		}
		log.Error("failed", "err", err, "restart_in", backoff)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}
