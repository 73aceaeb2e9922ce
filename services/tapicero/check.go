package tapicero

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/services/protocol/problem"
)

const (
	// enough failures in a row end a comparison: the database is away.
	enough          = 5
	maxCheckBackoff = 10 * time.Minute
)

// compare compares all databases with all users: at the start, every
// checkEvery, when a grace period ends, and soon again after a failure.
func (s *Server) compare(ctx context.Context) {
	var wait time.Duration
	for ctx.Err() == nil {
		err := s.CheckAll(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			wait = 0
			sleep(ctx, s.nextCheck())
			continue
		}
		wait = min(max(2*wait, minBackoff), maxCheckBackoff)
		s.failed("comparing databases with users", err, wait)
		sleep(ctx, jitter(wait))
	}
}

func (s *Server) nextCheck() time.Duration {
	s.checking.Lock()
	defer s.checking.Unlock()
	wait := s.checkEvery
	for _, first := range s.orphans {
		wait = min(wait, time.Until(first.Add(s.grace)))
	}
	return max(wait, minBackoff)
}

// CheckAll compares all databases with all users: it creates what is missing,
// secures what is there, and destroys what has had no user for the grace
// period. It works whether or not Run runs, and goes on after a failure with
// what can still be done. Its error tells the first failure.
func (s *Server) CheckAll(ctx context.Context) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	err := s.checkAll(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked, s.checkErr = true, err
	return err
}

func (s *Server) checkAll(ctx context.Context) error {
	// Databases first: a user who comes between the two lists has a database
	// too many in neither.
	dbs, err := s.list(ctx, "databases", s.dbs.IDs)
	if err != nil {
		return err
	}
	users, err := s.list(ctx, "users", s.users.IDs)
	if err != nil {
		return err
	}
	return errors.Join(s.secureAll(ctx, dbs, users), s.sweep(ctx, dbs, users))
}

func (s *Server) list(ctx context.Context, what string, ids func(context.Context) ([]string, error)) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*opTimeout)
	defer cancel()
	all, err := ids(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", what, err)
	}
	set := make(map[string]bool, len(all))
	for _, id := range all {
		if validID(id) {
			set[id] = true
		}
	}
	return set, nil
}

// secureAll sees to it that each user has a secured database.
func (s *Server) secureAll(ctx context.Context, dbs, users map[string]bool) error {
	var first error
	failed, row := 0, 0
	for id := range users {
		err := s.secure(ctx, id, dbs[id])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			row = 0
			continue
		}
		first = firstOf(first, err)
		failed++
		if row++; row == enough {
			break
		}
	}
	if first != nil {
		return fmt.Errorf("%d or more of %d databases not secured: %w", failed, len(users), first)
	}
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (s *Server) secure(ctx context.Context, id string, exists bool) error {
	if exists {
		ctx, cancel := context.WithTimeout(ctx, opTimeout)
		defer cancel()
		if err := s.dbs.Check(ctx, id); !errors.Is(err, problem.NotExist) {
			return err
		}
	}
	return s.settle(ctx, id, false)
}
