package mx

import (
	"context"
	"sync"
	"time"
)

const (
	measure  = 10 * time.Second // How long a size is remembered.
	maxSizes = 20_000
)

// quota remembers how large databases are. The zero value knows nothing.
type quota struct {
	mu sync.Mutex // Guards by.
	by map[string]measured
}

type measured struct {
	size  int64 // With what was appended since.
	until time.Time
}

// full reports whether the database of a user has reached its quota. Where the
// size cannot be had the append decides: the database may be away, or not be
// there yet.
func (in *intake) full(ctx context.Context, userID string, now time.Time) bool {
	sizer, ok := in.queue.(Sizer)
	if !ok {
		return false
	}
	size, known := in.quota.get(userID, now)
	if !known {
		var err error
		if size, err = sizer.Size(ctx, userID); err != nil {
			in.log.Debug("measuring a database", "user", userID, "err", err)
			return false
		}
		in.quota.set(userID, measured{size, now.Add(measure)})
	}
	return size >= in.cfg.Quota
}

func (q *quota) get(userID string, now time.Time) (size int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m, ok := q.by[userID]
	return m.size, ok && now.Before(m.until)
}

func (q *quota) set(userID string, m measured) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.by == nil || len(q.by) >= maxSizes {
		q.by = map[string]measured{}
	}
	q.by[userID] = m
}

// add notes an entry that was appended.
func (q *quota) add(userID string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m, ok := q.by[userID]; ok {
		m.size += n
		q.by[userID] = m
	}
}
