package group

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// How often a group is looked at, and how long one change may take.
const (
	tendInterval  = 500 * time.Millisecond
	changeTimeout = 10 * time.Second
)

// lag is how many entries a replica may be behind when it is given a vote.
const lag = 64

// tend takes care of a group until ctx is done: it founds it, and while this
// node leads it moves the group towards the table, and has it compared.
func (s *Set) tend(ctx context.Context, g *group) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	led := uint64(0) // The term that this node is known to lead.
	var believes belief
	compared := time.Now()
	for {
		s.judge(ctx, g)
		term := g.raft.CurrentTerm()
		var err error
		switch {
		case g.raft.State() != raft.Leader:
			if believes, err = g.forget(ctx, believes); err != nil {
				break
			}
			if err = s.found(ctx, g); err != nil {
				break
			}
			if g, err = s.leave(ctx, g); g == nil {
				if err != nil {
					s.fail(err)
				}
				return
			}
		case led != term:
			if err = s.begin(ctx, g); err == nil {
				led = term
			}
		default:
			err = s.change(ctx, g)
			if time.Since(compared) > compareInterval {
				compared = time.Now()
				_, err2 := s.Compare(ctx, g.shard)
				err = errors.Join(err, err2)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("shard not yet as it should be", "shard", g.shard, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// begin does what a new leader has to do.
func (s *Set) begin(ctx context.Context, g *group) error {
	if g.fsm.history.Load() == 0 {
		var random [8]byte
		rand.Read(random[:])
		e := store.Entry{Time: time.Now().UnixMilli(), Cmd: store.NameHistory{History: max(1, binary.BigEndian.Uint64(random[:]))}}
		if _, _, err := s.Propose(ctx, g.shard, e); err != nil {
			return err
		}
	}
	s.lead(ctx, g.shard)
	return nil
}

// change makes the next change that brings the group nearer to the table, if
// there is one. It may be stopped anywhere and begin anew: it only compares.
func (s *Set) change(ctx context.Context, g *group) error {
	now := g.fsm.members.Load()       // The library does not say since when the members are what they are.
	nodes := map[string]serverOf{}    // That answer.
	ids := map[string]raft.ServerID{} // Of those that know the shard's version of entries.
	for _, node := range s.cfg.Nodes {
		if s.cfg.holds(g.shard, node) || slices.ContainsFunc(now.Servers, func(m raft.Server) bool { return nodeOf(m.ID) == node }) {
			o, err := s.askServer(ctx, node)
			if err != nil || nodeOf(o.Server) != node {
				continue
			}
			nodes[node] = o
			if uint64(o.Entry) >= g.fsm.version.Load() {
				ids[node] = o.Server
			}
		}
	}
	if err := s.raise(g, nodes); err != nil {
		return err
	}
	next, err := s.next(ctx, g, now, ids)
	if err != nil || next == nil {
		return err
	}
	s.log.Info("changing who holds a shard", "shard", g.shard, "change", next.what, "server", next.id)
	var done raft.IndexFuture
	addr, at := raft.ServerAddress(next.id), now.since
	switch next.what {
	case "add":
		done = g.raft.AddNonvoter(next.id, addr, at, changeTimeout)
	case "vote":
		done = g.raft.AddVoter(next.id, addr, at, changeTimeout)
	case "demote":
		done = g.raft.DemoteVoter(next.id, at, changeTimeout)
	case "remove":
		if next.id == s.self {
			return g.raft.LeadershipTransfer().Error() // The next leader does it.
		}
		done = g.raft.RemoveServer(next.id, at, changeTimeout)
	}
	return done.Error()
}

// deserves reports whether a server is to be given a vote, by what its node says.
// It must have caught up, and know that it is a member, and which others are:
// have applied the entry since which the members are what they are. One that was
// removed and added again may not have heard of either yet. It may be leaving:
// what it said before it forgets all that it has must not count.
func (g *group) deserves(st status, id raft.ServerID, since uint64) bool {
	return st.Server == id && st.Ready && st.History == g.fsm.history.Load() && st.Applied >= since && st.Applied+lag >= g.fsm.marks.now()
}

// A step is one change of a group.
type step struct {
	what string
	id   raft.ServerID
}

// next decides on the next step. Stores that are gone for good leave first:
// they only make majorities harder. Then who is missing comes, and gets a vote
// when it has caught up. Who is not wanted leaves last.
func (s *Set) next(ctx context.Context, g *group, now *members, ids map[string]raft.ServerID) (*step, error) {
	have := now.Servers
	for _, m := range have {
		if id := ids[nodeOf(m.ID)]; id != "" && id != m.ID {
			return &step{"remove", m.ID}, nil
		}
	}
	missing := false
	for _, node := range s.cfg.Nodes {
		if !s.cfg.holds(g.shard, node) {
			continue
		}
		i := slices.IndexFunc(have, func(m raft.Server) bool { return nodeOf(m.ID) == node })
		votes := s.cfg.votes(g.shard, node)
		switch {
		case i < 0 && ids[node] != "":
			return &step{"add", ids[node]}, nil
		case i < 0:
			missing = missing || votes
		case votes && have[i].Suffrage != raft.Voter:
			missing = true
			st, err := s.askStatus(ctx, node, g.shard)
			if err == nil && g.deserves(st, have[i].ID, now.since) {
				return &step{"vote", have[i].ID}, nil
			}
		}
	}
	if missing {
		return nil, nil
	}
	for _, m := range have {
		node := nodeOf(m.ID)
		switch {
		case !s.cfg.holds(g.shard, node):
			return &step{"remove", m.ID}, nil
		case m.Suffrage == raft.Voter && !s.cfg.votes(g.shard, node):
			return &step{"demote", m.ID}, nil
		}
	}
	return nil, nil
}
