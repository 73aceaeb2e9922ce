package soledad

import (
	"maps"
	"sync"
	"time"
)

const (
	remembered   = 2 * time.Minute
	maxExchanges = 4096
	maxSeen      = 1 << 20 // Documents of all exchanges.
	maxSeenEach  = 1 << 18 // Documents of one.
)

// An exchangeID names one exchange of one device, which may take several
// requests.
type exchangeID struct{ user, source, syncID string }

// seen maps documents that an exchange wrote, or found equal, to the
// generation at which it did.
type seen map[string]int

// note adds a document, if there is room.
func (s seen) note(docID string, gen int) {
	if _, ok := s[docID]; ok || len(s) < maxSeenEach {
		s[docID] = gen
	}
}

// covers reports whether the source has the document as it was changed at gen.
func (s seen) covers(docID string, gen int) bool {
	at, ok := s[docID]
	return ok && gen <= at
}

// exchanges remembers what the exchanges of the last two minutes wrote. It may
// forget earlier: a source then gets its own documents back, and finds them
// equal.
type exchanges struct {
	mu    sync.Mutex
	by    map[exchangeID]*exchangeMemory
	total int // Documents in all of them.
}

type exchangeMemory struct {
	seen seen
	used time.Time
}

// recall returns what id wrote so far. The map is the caller's.
func (e *exchanges) recall(id exchangeID, now time.Time) seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.by[id]
	if m == nil || id.syncID == "" || now.Sub(m.used) > remembered {
		return seen{}
	}
	m.used = now
	return maps.Clone(m.seen)
}

// remember keeps what id wrote. The map is no longer the caller's.
func (e *exchanges) remember(id exchangeID, s seen, now time.Time) {
	if id.syncID == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.by == nil {
		e.by = map[exchangeID]*exchangeMemory{}
	}
	e.forget(id)
	for old, m := range e.by {
		if now.Sub(m.used) > remembered {
			e.forget(old)
		}
	}
	for len(e.by) >= maxExchanges || e.total+len(s) > maxSeen {
		e.forget(e.oldest())
	}
	e.by[id] = &exchangeMemory{s, now}
	e.total += len(s)
}

func (e *exchanges) forget(id exchangeID) {
	if m := e.by[id]; m != nil {
		e.total -= len(m.seen)
		delete(e.by, id)
	}
}

// oldest returns the exchange that was used least recently; there is one.
func (e *exchanges) oldest() exchangeID {
	var id exchangeID
	var used time.Time
	for other, m := range e.by {
		if used.IsZero() || m.used.Before(used) {
			id, used = other, m.used
		}
	}
	return id
}
