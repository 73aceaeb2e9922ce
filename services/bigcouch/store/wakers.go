package store

import "sync"

// wakers tells who waits for a database that it has changed.
type wakers struct {
	mu sync.Mutex // Guards m.
	m  map[uint64]*waker
}

type waker struct {
	ch      chan struct{}
	waiting int
}

// Changed returns a channel that closes when the database changes after the
// call, and a function that the caller calls when it waits no longer.
func (s *Store) Changed(db *Database) (<-chan struct{}, func()) {
	w := &s.wakers
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.m[db.ID]
	if k == nil {
		k = &waker{ch: make(chan struct{})}
		w.m[db.ID] = k
	}
	k.waiting++
	return k.ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if k.waiting--; k.waiting == 0 && w.m[db.ID] == k {
			delete(w.m, db.ID)
		}
	}
}

func (w *wakers) wake(db uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.m[db]; k != nil {
		close(k.ch)
		delete(w.m, db)
	}
}

// wakeAll wakes everybody: what they see may have changed as a whole.
func (w *wakers) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.m {
		close(k.ch)
	}
	clear(w.m)
}
