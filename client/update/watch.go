package update

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// How long a Watcher waits between two looks: half to one and a half of it, by
// chance, so that not all clients look at once.
const (
	lookPause  = 6 * time.Hour
	againPause = 30 * time.Minute // After a look that failed.
	startPause = time.Minute      // After the start of the daemon, at least.
)

// A Watcher looks for releases as long as the daemon runs, and announces them. It
// installs nothing. It is a daemon.Service.
type Watcher struct {
	u      *Updater
	looked atomic.Pointer[Looked]
	failed atomic.Pointer[string]
}

// NewWatcher returns the watcher of an updater, which is then its own.
func NewWatcher(u *Updater) *Watcher { return &Watcher{u: u} }

// Run settles what is on trial, and then looks now and then, until ctx is done.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.u.Settle(ctx); err != nil && ctx.Err() == nil {
		w.u.cfg.Log.Warn("the update before was not settled", "err", err)
	}
	if s, err := ReadState(w.u.cfg.Dir); err == nil {
		w.looked.Store(&s.Looked)
	}
	pause := w.first()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = about(lookPause)
		if err := w.look(ctx); err != nil {
			pause = about(againPause)
		}
	}
}

// first is how long the first look waits: until it is due by the last one.
func (w *Watcher) first() time.Duration {
	l := w.looked.Load()
	if l == nil || l.At.IsZero() {
		return about(startPause)
	}
	return max(about(startPause), about(lookPause)-time.Since(l.At))
}

func about(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func (w *Watcher) look(ctx context.Context) error {
	l, err := w.u.Check(ctx)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrBusy) {
			text := short(err.Error())
			w.failed.Store(&text)
			w.u.cfg.Log.Info("the look for updates failed")
		}
		return err
	}
	w.failed.Store(nil)
	w.looked.Store(&l)
	return nil
}

// Looked returns what the last look has shown, and why the last try failed, if it
// did.
func (w *Watcher) Looked() (l Looked, problem string) {
	if p := w.looked.Load(); p != nil {
		l = *p
	}
	if p := w.failed.Load(); p != nil {
		problem = *p
	}
	return l, problem
}
