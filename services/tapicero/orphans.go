package tapicero

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"leap.example/services/protocol/problem"
)

const (
	orphansKey = "orphans"
	maxOrphans = 10_000
)

// orphans says since when a database, named by its user's id, has been seen
// without a user.
type orphans map[string]time.Time

// sweep notes which databases have no user and destroys those whose grace is
// over. users must be complete. What the feed reported as deleted is not its
// business: that is destroyed as soon as it can be.
//
// A users database that was lost or restored from an old copy looks as if
// people had left. So nothing is destroyed while there is no user at all, or
// while more than half of the databases have none.
func (s *Server) sweep(ctx context.Context, dbs, users map[string]bool) error {
	before, err := s.loadOrphans(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	reported := s.reportedDeleted()
	s.orphans = make(orphans)
	total := 0
	for id := range dbs {
		if users[id] || reported[id] {
			continue
		}
		total++
		if first, ok := before[id]; ok {
			s.orphans[id] = first
		} else if len(s.orphans) < maxOrphans {
			s.orphans[id] = now
		}
	}
	if total > 0 && (len(users) == 0 || 2*total > len(dbs)) {
		// The first sightings stay as they are: an operator decides.
		return errors.Join(s.saveOrphans(ctx), fmt.Errorf(
			"%d of %d databases have no user: the users database is not to be trusted, nothing is destroyed", total, len(dbs)))
	}
	err = s.destroyOld(ctx, now)
	return errors.Join(err, s.saveOrphans(ctx))
}

// reportedDeleted returns the users whose deletion the feed reported and whose
// databases wait to be destroyed.
func (s *Server) reportedDeleted() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make(map[string]bool)
	for id, t := range s.todo {
		if t.deleted {
			ids[id] = true
		}
	}
	return ids
}

func (s *Server) destroyOld(ctx context.Context, now time.Time) error {
	var first error
	for id, since := range s.orphans {
		if now.Sub(since) < s.grace {
			continue
		}
		switch err := s.settle(ctx, id, true); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			first = firstOf(first, fmt.Errorf("destroying a database without a user: %w", err))
		default:
			delete(s.orphans, id)
			s.log.Info("database without a user destroyed", "since", since)
		}
	}
	return first
}

// loadOrphans returns what an earlier check noted, of this process or of the
// one before.
func (s *Server) loadOrphans(ctx context.Context) (orphans, error) {
	if s.orphans != nil {
		return s.orphans, nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	text, err := s.state.Get(ctx, orphansKey)
	if errors.Is(err, problem.NotExist) || err == nil && text == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the notes: %w", err)
	}
	var noted orphans
	if err := json.Unmarshal([]byte(text), &noted); err != nil {
		s.log.Warn("notes about databases without a user are unreadable: grace begins anew", "err", err)
		return nil, nil
	}
	return noted, nil
}

func (s *Server) saveOrphans(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	text, err := json.Marshal(s.orphans)
	if err != nil {
		return err
	}
	return s.state.Set(ctx, orphansKey, string(text))
}
