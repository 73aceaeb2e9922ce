package group

import (
	"context"

	"github.com/hashicorp/raft"
)

// The library tells followers what is committed with the next entries, or else
// after 50 to 100 ms. Whoever writes through a follower, one write after the
// other, would wait for that each time. The leader's answer says what it has
// committed: the follower takes it for what it is, a message of the leader that
// it could as well have had from its stream.

// A progress is what a leader has committed.
type progress struct {
	Leader  raft.ServerID `json:"leader"`
	History uint64        `json:"history"`
	Term    uint64        `json:"term"`   // Of the leader, and of the entry at Commit.
	Commit  uint64        `json:"commit"` // Index of an entry that is committed.
}

// progress returns what this node, which led in a term and has committed an
// entry of it, tells others.
func (g *group) progress(term, commit uint64) *progress {
	return &progress{g.self, g.fsm.history.Load(), term, commit}
}

// hear tells the library what the leader says. It may not want to hear it: the
// next message of the leader's stream says it again. An error is that of ctx.
func (g *group) hear(ctx context.Context, p *progress) error {
	// Another history, or a leader of an earlier release, which says nothing.
	if p == nil || p.History == 0 || p.History != g.fsm.history.Load() || p.Leader == g.self {
		return nil
	}
	if err := g.logs.stored.wait(ctx, p.Commit); err != nil {
		return err
	}
	select {
	case g.hearing <- struct{}{}:
		defer func() { <-g.hearing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if g.raft.CommitIndex() >= p.Commit {
		return nil
	}
	req := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(p.Leader), Addr: g.trans.EncodePeer(p.Leader, raft.ServerAddress(p.Leader)),
		},
		Term: p.Term, PrevLogEntry: p.Commit, PrevLogTerm: p.Term, LeaderCommitIndex: p.Commit,
	}
	_ = g.trans.AppendEntries(g.self, raft.ServerAddress(g.self), &req, new(raft.AppendEntriesResponse)) // Said above.
	return nil
}
