package group_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// A heartbeat that comes while its receiver begins to stand for election, for
// as long as its disk takes to note the term, makes the library believe in a
// leader that it no longer follows: it then shows a leader that may be dead, and
// refuses others its vote because of it, for as long as it stands.
func TestCandidateForgets(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	g := c.gated("a")
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	p := c.lead("c", "a")
	g.shut.Lock()
	to := raft.ServerAddress(p.to)
	if err := p.trans.TimeoutNow(p.to, to, &raft.TimeoutNowRequest{RPCHeader: p.head}, new(raft.TimeoutNowResponse)); err != nil {
		t.Fatal(err)
	}
	<-g.waiting // It has begun to stand, and notes the term.
	p.beat()
	g.shut.Unlock()
	c.eventually("a stands, and shows no leader", func() error {
		if s := c.said("a"); s.State != "Candidate" || s.Leader != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	b := c.said("a").server(t, "b")
	ask := raft.RequestPreVoteRequest{RPCHeader: p.head, Term: p.term + 5, LastLogIndex: p.last.Index + 1, LastLogTerm: p.term}
	ask.ID, ask.Addr = []byte(b), []byte(b)
	c.eventually("a lets others lead", func() error {
		var vote raft.RequestPreVoteResponse
		err := p.trans.RequestPreVote(p.to, to, &ask, &vote)
		if err == nil && !vote.Granted {
			err = fmt.Errorf("%+v", vote)
		}
		return err
	})
}
