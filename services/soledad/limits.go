package soledad

import (
	"context"
	"sync"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	waitersEach   = 32               // Waiting devices of one user.
	transfersEach = 8                // Syncs and blob transfers of one user.
	memoryWait    = 10 * time.Second // For other blobs to leave the memory.
)

// locks are one lock for each user who needs one now.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	ch    chan struct{} // Holds a token while the lock is held.
	users int           // Who hold or want it.
}

// lock takes the lock of a user, or ends with ctx. The caller calls unlock.
func (l *locks) lock(ctx context.Context, user string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	one := l.held[user]
	if one == nil {
		one = &lock{ch: make(chan struct{}, 1)}
		l.held[user] = one
	}
	one.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.held, user)
		}
	}
	select {
	case one.ch <- struct{}{}:
		return func() {
			<-one.ch
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, problem.Unavailable.Errorf("waiting for another request of the same user")
	}
}

// slots bound how many do something at once, in all and per user.
type slots struct {
	max, each int

	mu  sync.Mutex
	all int
	by  map[string]int
}

// take takes a place for user, or answers unavailable. The caller calls free.
func (s *slots) take(user string) (free func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.max || s.by[user] >= s.each {
		return nil, u1db.ErrUnavailable
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[user]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[user]--; s.by[user] == 0 {
			delete(s.by, user)
		}
	}, nil
}

// A room is a transfer's share of the memory for blobs.
type room struct {
	s     *Server
	bytes int64
	leave func()
}

// hold takes a transfer and room for n bytes, or answers unavailable. The
// caller calls free.
func (s *Server) hold(c *call, n int64) (*room, error) {
	leave, err := s.transfers.take(c.user)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), memoryWait)
	defer cancel()
	if s.memory.Acquire(ctx, n) != nil {
		leave()
		return nil, u1db.ErrUnavailable
	}
	return &room{s, n, leave}, nil
}

// shrink gives back what is not needed for n bytes.
func (r *room) shrink(n int64) {
	if n < r.bytes {
		r.s.memory.Release(r.bytes - n)
		r.bytes = n
	}
}

func (r *room) free() {
	r.s.memory.Release(r.bytes)
	r.leave()
}
