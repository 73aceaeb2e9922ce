package group

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// A membership is who holds a shard.
type membership struct {
	History uint64             `json:"history"`
	Members raft.Configuration `json:"members"`
}

// confirmed returns who holds a shard that this node leads, now: a majority has
// confirmed that it does.
func (s *Set) confirmed(ctx context.Context, n uint16) (m membership, err error) {
	a, err := s.readIndex(n)
	if err != nil {
		return m, err
	}
	g := s.group(n)
	if g == nil {
		return m, errNotLeader
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := g.fsm.marks.wait(ctx, a.Index); err != nil {
		return m, err
	}
	return membership{g.fsm.history.Load(), g.fsm.members.Load().Configuration}, nil
}

// leave drops what this node has of a shard that the table gives to others, once
// their leader has a majority confirm that this store is not among them any
// more. It returns the group as it is from then on, nil if this node has left;
// an error with that means that the node cannot go on.
//
// The table of the others may want this store back at any time: should it have
// been told anything since it asked, or have voted, it may have a vote that
// counts, and stays. What it has voted it remembers also when it has left: it
// votes in no term twice.
func (s *Set) leave(ctx context.Context, g *group) (*group, error) {
	if s.cfg.holds(g.shard, s.cfg.Self) {
		return g, nil
	}
	before, err := g.trace()
	if err != nil {
		return g, err
	}
	if out, err := s.released(ctx, g); err != nil || !out {
		return g, err
	}
	s.log.Info("leaving a shard", "shard", g.shard)
	s.mu.Lock()
	delete(s.groups, g.shard)
	s.mu.Unlock()
	if err := g.close(false); err != nil {
		return nil, fmt.Errorf("leaving shard %d: %w", g.shard, err)
	}
	after, err := g.trace()
	if err != nil {
		return nil, fmt.Errorf("leaving shard %d: %w", g.shard, err)
	}
	if after == before {
		return nil, s.store.DropShard(g.shard)
	}
	if g, err = open(s.cfg, s.store, s.port, g.shard, s.self, s.log, s.fail); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[g.shard] = g
	return g, nil
}

// released reports whether the leader of a shard says that this store does not
// hold it.
func (s *Set) released(ctx context.Context, g *group) (bool, error) {
	var failed error
	for _, node := range s.cfg.Nodes {
		if node == s.cfg.Self {
			continue
		}
		m, err := s.askMembers(ctx, node, g.shard)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if m.History != g.fsm.history.Load() || len(m.Members.Servers) == 0 {
			continue
		}
		return !slices.ContainsFunc(m.Members.Servers, func(m raft.Server) bool { return m.ID == s.self }), nil
	}
	return false, failed
}

// A trace is what a group leaves behind on this node whenever it is told
// something, or promises something.
type trace struct {
	last, applied     uint64
	term, voted, vote string // As the library keeps them.
}

func (g *group) trace() (t trace, err error) {
	var errs [4]error
	t.last, errs[0] = g.logs.LastIndex()
	t.applied = g.fsm.marks.now()
	t.term, errs[1] = g.logs.log.Value(termKey)
	t.voted, errs[2] = g.logs.log.Value(votedKey)
	t.vote, errs[3] = g.logs.log.Value(voteKey)
	return t, errors.Join(errs[:]...)
}
