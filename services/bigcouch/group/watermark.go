package group

import (
	"context"
	"errors"
	"sync"
)

// A watermark is how far something has come, and who waits for it to come
// further.
type watermark struct {
	mu      sync.Mutex // Guards what follows.
	at      uint64
	changed chan struct{} // Closed at the next change; nil while nobody waits.
	ended   bool
}

// errEnded means that what was waited for will not come: the group has ended.
var errEnded = errors.New("the group has ended")

// end has those who wait, and will wait, give up.
func (w *watermark) end() {
	w.mu.Lock()
	w.ended = true
	at := w.at
	w.mu.Unlock()
	w.reach(at)
}

func (w *watermark) reach(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = n
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// raise is reach, but never goes back.
func (w *watermark) raise(n uint64) {
	if w.now() < n {
		w.reach(n)
	}
}

func (w *watermark) now() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// wait returns when the mark is at n or above. An error is errEnded, or that of
// ctx.
func (w *watermark) wait(ctx context.Context, n uint64) error {
	for {
		w.mu.Lock()
		if w.at >= n {
			w.mu.Unlock()
			return nil
		}
		if w.ended {
			w.mu.Unlock()
			return errEnded
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
