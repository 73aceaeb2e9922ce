package group

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// quorumTimeout is how long a write waits for a majority: longer than an
// election takes.
const quorumTimeout = 6 * time.Second

// barrierTimeout is the same for a read.
const barrierTimeout = 6 * time.Second

// Propose implements shard.Log.
func (s *Set) Propose(ctx context.Context, shardNo uint16, e store.Entry) (uint64, store.Result, error) {
	if err := s.begun(ctx); err != nil {
		return 0, store.Result{}, err
	}
	if e.Op == (store.OpID{}) {
		rand.Read(e.Op[:])
	}
	data, err := e.Encode()
	if err != nil {
		return 0, store.Result{}, err
	}
	var a answer
	var leader string
	err = s.atLeader(ctx, shardNo, quorumTimeout, func(ctx context.Context, node string) error {
		leader = node
		err := s.accepts(shardNo, data)
		if err != nil {
			return err
		}
		if node == s.cfg.Self {
			a, err = s.propose(shardNo, data)
		} else {
			a, err = s.askPropose(ctx, node, shardNo, data)
		}
		return err
	})
	if err != nil {
		return 0, store.Result{}, err
	}
	if g := s.group(shardNo); g != nil && g.holds() {
		// What came of it is known. Who has left the shard meanwhile, or does not
		// come to have it in time, has it read elsewhere.
		if s.Owes(shardNo) || g.catch(ctx, a) != nil {
			g.owe(a.Index, leader)
		}
	}
	return a.Index, a.Result, nil
}

// Barrier implements shard.Log. A shard that is not here is fresh at once: it
// is read where it is.
func (s *Set) Barrier(ctx context.Context, shardNo uint16) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	g := s.group(shardNo)
	if g == nil {
		return nil
	}
	var a answer
	err := s.atLeader(ctx, shardNo, barrierTimeout, func(ctx context.Context, node string) error {
		var err error
		if node == s.cfg.Self {
			a, err = s.readIndex(shardNo)
		} else {
			a, err = s.askReadIndex(ctx, node, shardNo)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err = g.catch(ctx, a); errors.Is(err, errEnded) {
		err = shard.Behind(shardNo)
	}
	return err
}

// catchTimeout is how long a replica may take to come where its leader is. One
// that the leader does not reach, or has removed without its knowing, never comes.
const catchTimeout = 6 * time.Second

// catch waits until this replica is where an answer of the leader is. An error is
// errEnded, one that is shard.ErrBehind, or that of ctx.
func (g *group) catch(ctx context.Context, a answer) error {
	if g.fsm.marks.now() >= a.Index {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, catchTimeout, shard.Behind(g.shard))
	defer cancel()
	if g.concerns(a.Progress) {
		hearing, enough := context.WithCancel(ctx)
		var heard sync.WaitGroup
		heard.Go(func() { g.hear(hearing, a.Progress) })
		defer heard.Wait()
		defer enough() // It may have come by the leader's stream.
	}
	return g.fsm.marks.wait(ctx, a.Index)
}

// An answer is what came of a proposal.
type answer struct {
	Index    uint64       `json:"index"`
	Result   store.Result `json:"result"`
	Progress *progress    `json:"progress,omitempty"` // Nil: not said.
}

// errNotLeader means that nothing was done, and that another node may know more.
var errNotLeader = errors.New("not the leader")

// propose enters an entry into the log of a shard that this node leads.
func (s *Set) propose(shardNo uint16, data []byte) (answer, error) {
	g := s.group(shardNo)
	if g == nil || g.raft.State() != raft.Leader {
		return answer{}, errNotLeader
	}
	f := g.raft.ApplyLog(raft.Log{Data: store.AtVersion(data, g.fsm.version.Load())}, time.Second)
	switch err := f.Error(); {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return answer{}, errNotLeader
	case err != nil:
		return answer{}, err // Among them ErrLeadershipLost: it may have been done.
	}
	a := f.Response().(applied)
	return answer{f.Index(), a.result, g.progress(a.term, f.Index())}, a.err
}

// readIndex returns how far a replica must have come to be fresh now.
func (s *Set) readIndex(shardNo uint16) (answer, error) {
	g := s.group(shardNo)
	if g == nil || g.raft.State() != raft.Leader {
		return answer{}, errNotLeader
	}
	commit := g.raft.CommitIndex()
	var l raft.Log
	// A leader knows what was committed before it once something of its own
	// term is: the entry by which it began. Until then it may know of nothing,
	// or of what it has from a snapshot.
	err := g.logs.GetLog(commit, &l)
	if errors.Is(err, raft.ErrLogNotFound) || err == nil && l.Term != g.raft.CurrentTerm() {
		return answer{}, errBegins
	}
	if err != nil {
		return answer{}, err
	}
	if err := g.raft.VerifyLeader().Error(); err != nil {
		return answer{}, errNotLeader
	}
	index, err := g.logs.reaches(commit)
	if err == nil && index == 0 { // What it is has been trimmed: the state here has it.
		index = g.fsm.marks.now()
	}
	return answer{Index: index, Progress: g.progress(l.Term, commit)}, err
}

// errBegins means that a leader has only just become one.
var errBegins = errors.New("the leader begins")

// atLeader calls f for the node that leads a shard, until it succeeds.
func (s *Set) atLeader(ctx context.Context, shardNo uint16, limit time.Duration, f func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, shard.NoMajority(shardNo))
	defer cancel()
	pause := 5 * time.Millisecond
	for try := 0; ; try++ {
		node := s.leaderOf(shardNo, try)
		err := f(ctx, node)
		if err == nil {
			s.remember(shardNo, node)
			return nil
		}
		var other hint
		if errors.As(err, &other) && other.node != "" && other.node != node {
			s.remember(shardNo, other.node)
		} else {
			s.remember(shardNo, "")
		}
		if fatal := errors.Is(err, store.ErrEntry); fatal {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(err, ErrOlder) && errors.Is(context.Cause(ctx), shard.ErrNoMajority) {
				return err
			}
			return context.Cause(ctx)
		case <-s.done:
			return shard.ErrStopped
		case <-time.After(pause):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// A hint is errNotLeader with the name of the node that may be it.
type hint struct{ node string }

func (h hint) Error() string   { return "not the leader, which may be " + h.node }
func (h hint) Is(t error) bool { return t == errNotLeader }

// leaderOf returns the node to try.
func (s *Set) leaderOf(shardNo uint16, try int) string {
	if g := s.group(shardNo); g != nil {
		if node := g.leader(); node != "" && try%4 != 3 {
			return node
		}
	}
	s.mu.Lock()
	node := s.hints[shardNo]
	s.mu.Unlock()
	if node != "" {
		return node
	}
	voters := s.cfg.Voters[shardNo]
	return voters[try%len(voters)]
}

func (s *Set) remember(shardNo uint16, node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hints[shardNo] = node
}
