package group

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// A replica is late when it lacks a write that was acknowledged through its node,
// when it is far behind, or when it has not heard of a leader for a while. As
// long as another node has what it lacks, and says who leads, that node is to be
// asked; if none can be reached, or none has it, what there is is read. Two that
// have both lost their leader are no better than each other.

const (
	maxLag     = 1000             // Entries.
	maxSilence = 10 * time.Second // Of a leader.
)

// lacks returns up to which index another replica must have applied the log to be
// better than this one. It reports false if this one is as it should be.
func (g *group) lacks() (index uint64, late bool) {
	have := g.fsm.marks.now()
	if owed := g.owed.now(); owed > have {
		return owed, true
	}
	if need, err := g.logs.reaches(g.raft.CommitIndex()); err == nil && need > have+maxLag {
		return need, true
	}
	return have, g.lost()
}

// lost reports whether nothing has been heard of a leader for a while.
func (g *group) lost() bool {
	heard := g.raft.LastContact()
	if heard.Before(g.began) {
		heard = g.began
	}
	return g.raft.State() != raft.Leader && time.Since(heard) > maxSilence
}

// judge looks whether this node's replica is late, and who has what it lacks.
func (s *Set) judge(ctx context.Context, g *group) {
	need, late := g.lacks()
	if !late {
		g.instead("")
		return
	}
	own := g.fsm.history.Load() // 0: not yet known here.
	node := s.seek(ctx, g.shard, g.better(), func(st status) bool {
		return st.Ready && st.Leader != "" && (own == 0 || st.History == own) && st.Applied >= need
	})
	if node != g.better() {
		s.log.Warn("a replica is late", "shard", g.shard, "applied", g.fsm.marks.now(), "wanted", need, "instead", node)
	}
	g.instead(node)
}

// owe notes that a write was acknowledged that is not here yet, and is on the
// node that led.
func (g *group) owe(index uint64, leader string) {
	g.owed.raise(index)
	if g.fsm.marks.now() < index {
		g.instead(leader)
	}
}

// better returns the node that is to be asked instead of this one, "" if none is.
func (g *group) better() string {
	if node := g.other.Load(); node != nil {
		return *node
	}
	return ""
}

func (g *group) instead(node string) { g.other.Store(&node) }

// Late reports whether this node has a replica of a shard, but another node is to
// be asked instead.
func (s *Set) Late(shard uint16) bool {
	g := s.group(shard)
	return g != nil && g.fits() && g.better() != ""
}

// Owes reports whether a write that was acknowledged through this node is not
// here, and is on another node that can be asked.
func (s *Set) Owes(shard uint16) bool {
	g := s.group(shard)
	return g != nil && g.better() != "" && g.owed.now() > g.fsm.marks.now()
}

// Leaderless reports whether this node has heard of no leader for a while, of any
// of the shards that it has.
func (s *Set) Leaderless() bool {
	all := s.all()
	for _, g := range all {
		if !g.lost() {
			return false
		}
	}
	return len(all) > 0
}
