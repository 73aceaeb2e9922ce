package tapicero

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"leap.example/services/protocol/problem"
)

const (
	seqKey    = "seq"
	saveEvery = time.Second
)

// A task is a change that could not be carried out.
type task struct {
	deleted bool
	err     error         // Of the latest attempt.
	wait    time.Duration // Before the next attempt, without jitter.
	due     time.Time
}

func (t *task) failed(err error) {
	t.err = err
	t.wait = min(max(2*t.wait, minBackoff), maxBackoff)
	t.due = time.Now().Add(jitter(t.wait))
}

// jitter returns a duration between d/2 and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// follow takes up changes until ctx is done.
func (s *Server) follow(ctx context.Context) {
	var wait time.Duration
	for ctx.Err() == nil {
		start := time.Now()
		err := s.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = problem.Unavailable.Errorf("the feed ended")
		}
		if time.Since(start) >= settled {
			wait = 0
		}
		wait = min(max(2*wait, minBackoff), maxBackoff)
		s.mu.Lock()
		s.following, s.feedErr = time.Time{}, err
		if errors.Is(err, problem.Invalid) {
			s.seen = "" // A sequence that the database does not know: all from the beginning.
		}
		s.mu.Unlock()
		s.failed("feed of users", err, wait)
		sleep(ctx, jitter(wait))
	}
}

func (s *Server) followOnce(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	since := s.seen
	s.following = time.Now()
	s.mu.Unlock()
	return s.users.Follow(ctx, since, func(id string, deleted bool, seq string) error {
		s.take(ctx, id, deleted, seq)
		return ctx.Err()
	})
}

// load reads the stored sequence, once in the life of s.
func (s *Server) load(ctx context.Context) error {
	s.mu.Lock()
	loaded := s.loaded
	s.mu.Unlock()
	if loaded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	seq, err := s.state.Get(ctx, seqKey)
	if err != nil && !errors.Is(err, problem.NotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded, s.seen, s.stored = true, seq, seq
	return nil
}

// take carries out one change, or notes that it is to be tried again.
func (s *Server) take(ctx context.Context, id string, deleted bool, seq string) {
	var err error
	if validID(id) {
		err = s.settle(ctx, id, deleted)
	}
	if ctx.Err() != nil {
		return // Not seen: the next process takes it up.
	}
	s.mu.Lock()
	delete(s.todo, id)
	if err != nil {
		t := &task{deleted: deleted}
		t.failed(err)
		s.todo[id] = t
		s.log.Warn("user database not settled", "deleted", deleted, "err", err)
	}
	s.seen = seq
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// retry tries again what failed and stores the sequence, until ctx is done.
func (s *Server) retry(ctx context.Context) {
	for ctx.Err() == nil {
		s.retryDue(ctx)
		s.save(ctx)
		// Not more often than saveEvery: a feed that begins anew brings
		// thousands of changes.
		sleep(ctx, saveEvery)
		timer := time.NewTimer(s.untilDue())
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// retryDue makes one more attempt at all that is due.
func (s *Server) retryDue(ctx context.Context) {
	due := make(map[string]*task)
	now := time.Now()
	s.mu.Lock()
	for id, t := range s.todo {
		if !t.due.After(now) {
			due[id] = t
		}
	}
	s.mu.Unlock()
	for id, t := range due {
		err := s.settle(ctx, id, t.deleted)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		switch {
		case s.todo[id] != t: // A newer change took its place.
		case err != nil:
			t.failed(err)
		default:
			delete(s.todo, id)
		}
		s.mu.Unlock()
	}
}

func (s *Server) untilDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := maxBackoff
	for _, t := range s.todo {
		wait = min(wait, time.Until(t.due))
	}
	return wait
}

// save stores the sequence if nothing before it is left undone.
func (s *Server) save(ctx context.Context) {
	s.mu.Lock()
	seq, ready := s.seen, len(s.todo) == 0 && s.seen != s.stored
	s.mu.Unlock()
	if !ready {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	err := s.state.Set(ctx, seqKey, seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr = err; err == nil {
		s.stored = seq
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
