package group

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// How long a node that has a shard is sought, and how long one that was found is
// taken for one without being asked again.
const (
	holderTimeout = 5 * time.Second
	holderLife    = 2 * time.Second
)

// A holder is a node that said it has a shard.
type holder struct {
	node  string
	until time.Time
}

// Holder returns another node that has a replica of the shard that may be read.
// All that may have it are asked at once, and the first to say so is kept for a
// while: one that wrote something for a client should read it for him too.
func (s *Set) Holder(ctx context.Context, n uint16) (string, error) {
	s.mu.Lock()
	known := s.holders[n]
	s.mu.Unlock()
	if time.Now().Before(known.until) {
		return known.node, nil
	}
	ctx, cancel := context.WithTimeout(ctx, holderTimeout)
	defer cancel()
	for {
		node := s.seek(ctx, n, known.node, func(st status) bool { return st.Ready })
		if node != "" {
			s.mu.Lock()
			s.holders[n] = holder{node, time.Now().Add(holderLife)}
			s.mu.Unlock()
			return node, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no node has shard %d", n)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Lost says that a holder did not answer.
func (s *Set) Lost(n uint16, node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[n].node == node {
		delete(s.holders, n)
	}
}

// seek asks the voters of the table, and then, since the table may be ahead of
// what is true, all others, and returns one whose status fits. The one that was it
// before comes first.
func (s *Set) seek(ctx context.Context, n uint16, before string, fits func(status) bool) string {
	others := slices.DeleteFunc(slices.Clone(s.cfg.Nodes), func(node string) bool { return s.cfg.votes(n, node) })
	for _, nodes := range [][]string{{before}, s.cfg.Voters[n], others} {
		found := make(chan string, len(nodes))
		asked := 0
		for _, node := range nodes {
			if node == "" || node == s.cfg.Self {
				continue
			}
			asked++
			s.asking.Go(func() {
				if st, err := s.askStatus(ctx, node, n); err != nil || !fits(st) {
					node = ""
				}
				found <- node
			})
		}
		for range asked {
			if node := <-found; node != "" {
				return node
			}
		}
	}
	return ""
}
