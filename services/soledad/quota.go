package soledad

import (
	"context"
	"sync"
	"time"

	"leap.example/services/protocol/u1db"
)

const (
	remember  = 5 * time.Second // What the store said of a size.
	maxSizes  = 10_000
	overhead  = 512     // Of a change in the store: its ids, revisions, and its entry in the log.
	smallSize = 4 << 10 // Documents below may take a little more than the quota: flags, and deletions.
)

// A change replaces a document of old bytes by one of new bytes, 0 being none.
type change struct{ old, new int }

// sizes remembers for a while how large databases are.
type sizes struct {
	mu sync.Mutex // Guards by.
	by map[string]measured
}

type measured struct {
	size  int64 // With what was written since.
	until time.Time
}

// admit answers u1db.ErrQuota if the user's database has no room for changes,
// which are to be written at once. What makes a database smaller is admitted,
// and small documents are up to 105 % of the quota: who is at his limit can
// still tidy up.
func (s *Server) admit(ctx context.Context, db UserDB, user string, changes []change) error {
	var growth int64
	limit := s.cfg.Quota + s.cfg.Quota/20
	for _, ch := range changes {
		growth += int64(ch.new - ch.old + overhead)
		if ch.new >= smallSize {
			limit = s.cfg.Quota
		}
	}
	if growth <= 0 || s.sizes.grow(user, growth, limit, time.Now()) {
		return nil
	}
	// Not known, or refused by what may be out of date.
	size, err := db.Size(ctx)
	if err != nil {
		return err
	}
	s.sizes.set(user, measured{size, time.Now().Add(remember)})
	if !s.sizes.grow(user, growth, limit, time.Now()) {
		return u1db.ErrQuota
	}
	return nil
}

// grow notes a growth if the size is known and stays within limit.
func (s *sizes) grow(user string, growth, limit int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.by[user]
	if !ok || now.After(m.until) || m.size+growth > limit {
		return false
	}
	m.size += growth
	s.by[user] = m
	return true
}

func (s *sizes) set(user string, m measured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) >= maxSizes || s.by == nil {
		s.by = map[string]measured{}
	}
	s.by[user] = m
}

// size returns the bytes of a document that may not be there.
func size(d *u1db.Document) int {
	if d == nil {
		return 0
	}
	return len(d.Content)
}
