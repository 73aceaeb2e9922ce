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
// next message of the leader's stream says it again. What the leader says is
// trusted as far as its stream is, if it is whom this node follows in this term:
// the library compares the entry, and takes nothing for committed that is not
// here. It ends with ctx.
func (g *group) hear(ctx context.Context, p *progress) {
	if g.logs.stored.wait(ctx, p.Commit) != nil {
		return
	}
	select {
	case g.hearing <- struct{}{}:
		defer func() { <-g.hearing }()
	case <-ctx.Done():
		return
	}
	if _, leader := g.raft.LeaderWithID(); leader != p.Leader || g.raft.CurrentTerm() != p.Term || g.raft.CommitIndex() >= p.Commit {
		return
	}
	_ = g.trans.tell(ctx, &raft.AppendEntriesRequest{ // Said above.
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(p.Leader), Addr: g.trans.EncodePeer(p.Leader, raft.ServerAddress(p.Leader)),
		},
		Term: p.Term, PrevLogEntry: p.Commit, PrevLogTerm: p.Term, LeaderCommitIndex: p.Commit,
	})
}

// concerns reports whether what a leader says is of this node's log, and is not
// its own. A leader of an earlier release says nothing.
func (g *group) concerns(p *progress) bool {
	return p != nil && p.History != 0 && p.History == g.fsm.history.Load() && p.Leader != g.self
}
