package group

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/store"
)

// A group is this node's part of one shard.
type group struct {
	shard uint16
	self  raft.ServerID
	raft  *raft.Raft
	fsm   *fsm
	logs  *logs
	trans *ears
	done  chan struct{}  // Closed when it ends.
	ends  sync.WaitGroup // What ends then.

	hearing chan struct{} // Has room for one, who tells the library something.
	began   time.Time
	fit     atomic.Bool // Has been ready.

	obstacle atomic.Pointer[string] // Why the shard is not founded, nil if it is.

	owed  watermark              // Index of the last write that was acknowledged before it was here.
	other atomic.Pointer[string] // Who is to be asked instead of this node, if anybody.
}

// serverID returns the name of a store of a node in raft configurations.
func serverID(node, incarnation string) raft.ServerID {
	return raft.ServerID(node + "@" + incarnation)
}

// nodeOf returns the node of a server.
func nodeOf(id raft.ServerID) string {
	s := string(id)
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return s[:i]
	}
	return s
}

// lines takes what the library logs.
type lines struct{ log *slog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Debug("raft", "text", strings.TrimSpace(string(p)))
	return len(p), nil
}

// raftConfig returns the library's settings.
func raftConfig(c Config, self raft.ServerID, log *slog.Logger) *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = self
	r.BatchApplyCh = true
	r.MaxAppendEntries = 256
	r.NoSnapshotRestoreOnStart = true // The state is where it was.
	r.ShutdownOnRemove = false        // It may be taken back; what goes for good, reconcile removes.
	r.NoLegacyTelemetry = true
	if c.TrailingLogs > 0 {
		r.TrailingLogs = c.TrailingLogs
	}
	if c.SnapshotThreshold > 0 {
		r.SnapshotThreshold = c.SnapshotThreshold
		r.SnapshotInterval = 2 * time.Second
	}
	if c.Heartbeat > 0 {
		r.HeartbeatTimeout, r.ElectionTimeout, r.LeaderLeaseTimeout = c.Heartbeat, c.Heartbeat, c.Heartbeat/2
		// What was committed is told again and again, which is nearly all that
		// nodes say to each other while nobody writes.
		r.CommitTimeout = min(max(r.CommitTimeout, c.Heartbeat/20), c.Heartbeat/4)
	}
	r.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: lines{log}, DisableTime: true})
	return r
}

// cached is how many entries of a log are kept in memory, which may be chunks of
// attachments, or documents of some megabytes.
const cached = 64

// open starts this node's part of a shard.
func open(c Config, st *store.Store, port *peer.Port, shard uint16, self raft.ServerID, log *slog.Logger, fail func(error)) (*group, error) {
	done := make(chan struct{})
	f, err := newFSM(st, shard, done, log, fail)
	if err != nil {
		return nil, err
	}
	g := &group{
		shard: shard, self: self, fsm: f, logs: &logs{log: st.Log(shard)}, done: done, began: time.Now(), hearing: make(chan struct{}, 1),
	}
	f.stored = &g.logs.stored
	if err := g.mend(); err != nil {
		return nil, err
	}
	streams := port.Streams(shard, string(self), f.history.Load)
	conf := raftConfig(c, self, log.With("shard", shard))
	g.trans = &ears{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams, MaxPool: 3, Timeout: 10 * time.Second, Logger: conf.Logger,
	}), make(chan raft.RPC), done}
	cache, err := raft.NewLogCache(cached, g.logs)
	if err != nil {
		return nil, errors.Join(err, g.trans.Close())
	}
	if g.raft, err = raft.NewRaft(conf, f, cache, g.logs, f.snaps, g.trans); err != nil {
		return nil, errors.Join(fmt.Errorf("shard %d: %w", shard, err), g.trans.Close())
	}
	g.ends.Go(g.trans.listen)
	return g, nil
}

// mend undoes a founding that a crash has cut short: the library had noted its
// first term and not yet written the entry by which the shard begins. Nobody has
// been asked for a vote, so that nothing is forgotten by beginning anew.
func (g *group) mend() error {
	last, err := g.logs.LastIndex()
	if err != nil || last > 0 || g.fsm.marks.now() > 0 {
		return err
	}
	term, err := g.logs.GetUint64(termKey)
	if errors.Is(err, errNotFound) || err == nil && term > 1 {
		return nil
	}
	voted, err2 := g.logs.log.Value(votedKey)
	promised, err3 := g.logs.log.Value(promiseKey)
	if err := errors.Join(err, err2, err3); err != nil || voted != "" || promised != string(g.self) {
		return err
	}
	return g.logs.Set(termKey, nil)
}

// Keys of the library: the current term, the term in which it voted last, and for
// whom.
var (
	termKey  = []byte("CurrentTerm")
	votedKey = []byte("LastVoteTerm")
	voteKey  = []byte("LastVoteCand")
)

// close ends it. A leader hands over first, if there is time. States on their
// way, in or out, are cut off, and digests given up: they may take hours.
func (g *group) close(handOver bool) error {
	if handOver && g.raft.State() == raft.Leader && len(g.fsm.members.Load().Servers) > 1 {
		_ = g.raft.LeadershipTransfer().Error() // Then there is an election.
	}
	close(g.done)
	g.fsm.marks.end()
	g.logs.stored.end()
	ended := g.raft.Shutdown()
	err := g.trans.Close() // Cuts its streams.
	err = errors.Join(err, ended.Error())
	g.fsm.sums.Wait()
	g.ends.Wait()
	return err
}

// member returns this node's place in the group, as far as it has applied it.
func (g *group) member() (s raft.Server, ok bool) {
	for _, s := range g.fsm.members.Load().Servers {
		if s.ID == g.self {
			return s, true
		}
	}
	return s, false
}

// holds reports whether this node is a member, as far as it has applied it.
func (g *group) holds() bool {
	_, ok := g.member()
	return ok
}

// empty reports whether this node has nothing of the shard.
func (g *group) empty() (bool, error) {
	last, err := g.logs.LastIndex()
	if err != nil {
		return false, err
	}
	term, err := g.logs.GetUint64(termKey)
	if err != nil && !errors.Is(err, errNotFound) {
		return false, err
	}
	return last == 0 && term == 0 && g.fsm.marks.now() == 0, nil
}

// leader returns the node that leads as far as this one knows, "" if it does
// not know. Who the library says it is counts only where it follows: see forget.
func (g *group) leader() string {
	switch _, id := g.raft.LeaderWithID(); g.raft.State() {
	case raft.Leader:
		return nodeOf(g.self)
	case raft.Follower:
		return nodeOf(id)
	}
	return ""
}

// catchUp is how long a replica that has just started may wait for the leader
// to bring it up to date before it serves what it has.
const catchUp = 10 * time.Second

// ready reports whether this replica is to be read.
func (g *group) ready() bool { return g.fits() && g.better() == "" }

// fits reports whether this replica may be read. Once it could it may, as long as
// it is a member.
func (g *group) fits() bool {
	if _, ok := g.member(); !ok {
		return false
	}
	if !g.fit.Load() && (time.Since(g.began) > catchUp || g.caughtUp()) {
		g.fit.Store(true)
	}
	return g.fit.Load()
}

// caughtUp reports whether this replica has what its leader says is committed.
func (g *group) caughtUp() bool {
	if g.leader() == "" {
		return false
	}
	commit := g.raft.CommitIndex() // 0 until the leader has said.
	need, err := g.logs.reaches(commit)
	return err == nil && commit > 0 && g.fsm.marks.now() >= need
}

var _ io.Writer = lines{}
