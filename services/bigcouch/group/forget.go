package group

import (
	"context"
	"math"

	"github.com/hashicorp/raft"
)

// The library takes heartbeats in another goroutine than everything else. One
// that comes between its leaving the state of a follower and its noting the next
// term, which takes a disk as long as it takes, names it a leader while it stands
// for election: surely when a leader hands over, since it beats on meanwhile. It
// keeps that leader for as long as it stands, be he dead, and gives others no
// vote because of him: if they need it, nobody ever leads.

// A belief is whom a group stands for election against.
type belief struct {
	leader raft.ServerID
	term   uint64
}

// forget makes a group that has stood for election since it was called last, and
// believed in a leader all the time, a follower of nobody: that does no harm in
// any term. It stands again when it has heard of no leader for its time.
func (g *group) forget(ctx context.Context, before belief) (now belief, err error) {
	if g.raft.State() != raft.Candidate {
		return belief{}, nil
	}
	_, leader := g.raft.LeaderWithID()
	now = belief{leader, g.raft.CurrentTerm()}
	if leader == "" || now != before {
		return now, nil
	}
	// A leader without a name, whose entries follow one that is not here.
	return belief{}, g.trans.tell(ctx, &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax},
		Term:      now.term, PrevLogEntry: math.MaxUint64,
	})
}
