package group

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// snapshots is the snapshot store of a group. The state itself is durable and
// knows its position, so that it is its own latest snapshot: nothing is written
// when the library takes one, and what is sent to a follower is the state as it
// is when the sending begins. Only what comes from a leader is kept apart until
// it is installed.
type snapshots struct {
	store *store.Store
	shard uint16
	done  <-chan struct{} // Closed when the group ends.

	mu       sync.Mutex // Guards what follows.
	received *received
	out      int       // States on their way to followers.
	sent     time.Time // When the last one ended.
}

// calm is for how long after a state was sent the log is not trimmed: the
// follower needs what came meanwhile, or it would be sent the state again.
const calm = time.Minute

// sends reports whether a follower may be in need of the log as it is.
func (s *snapshots) sends() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out > 0 || time.Since(s.sent) < calm
}

func (s *snapshots) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out += n; n < 0 {
		s.sent = time.Now()
	}
}

var _ raft.SnapshotStore = (*snapshots)(nil)

// current names the state of this node, incoming what a leader has sent.
const (
	current  = "current"
	incoming = "incoming"
)

func metaOf(h store.Head, size int64) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: current, Index: h.Index, Term: h.Term, Size: size,
		Configuration: raft.DecodeConfiguration(h.Members), ConfigurationIndex: h.Since,
	}
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	h, err := s.store.Head(s.shard)
	if err != nil || h.Index == 0 || len(h.Members) == 0 {
		return nil, err
	}
	return []*raft.SnapshotMeta{metaOf(h, 0)}, nil
}

// Open implements raft.SnapshotStore. What it returns for the current state may
// be newer than what List said.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == incoming {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.received == nil {
			return nil, nil, errors.New("nothing was received")
		}
		return &s.received.meta, io.NopCloser(s.received), nil
	}
	snap, err := s.store.Snapshot(s.shard)
	if err != nil {
		return nil, nil, err
	}
	snap.Until(s.done)
	size, err := snap.Size()
	if err != nil {
		return nil, nil, errors.Join(err, snap.Close())
	}
	s.count(1)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() { // Ends when all is read, or the reader is closed.
		defer close(done)
		_ = w.CloseWithError(snap.Send(w)) // Never fails.
	}()
	return metaOf(snap.Head, size), &sending{r, s, snap, done}, nil
}

// sending is a state on its way to a follower.
type sending struct {
	*io.PipeReader
	from *snapshots
	snap *store.Snapshot
	done chan struct{}
}

func (s *sending) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	s.from.count(-1)
	return errors.Join(err, s.snap.Close())
}

// Create implements raft.SnapshotStore. A sink that is closed without having
// been written to is a snapshot of the current state.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, since uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &received{from: s, meta: raft.SnapshotMeta{
		Version: v, ID: incoming, Index: index, Term: term, Configuration: c, ConfigurationIndex: since,
	}}, nil
}

// received is a state that comes, or has come, from a leader.
type received struct {
	from *snapshots
	meta raft.SnapshotMeta
	pipe *io.PipeWriter
	done chan struct{}
	in   *store.Incoming
	err  error
}

// ID implements raft.SnapshotSink.
func (r *received) ID() string {
	if r.pipe == nil {
		return current
	}
	return incoming
}

// Write implements raft.SnapshotSink.
func (r *received) Write(p []byte) (int, error) {
	if r.pipe == nil {
		pr, pw := io.Pipe()
		r.pipe, r.done = pw, make(chan struct{})
		go func() { // Ends with Close or Cancel.
			defer close(r.done)
			r.in, r.err = r.from.store.Receive(r.from.shard, pr)
			_ = pr.CloseWithError(r.err) // Never fails.
		}()
	}
	return r.pipe.Write(p)
}

// Close implements raft.SnapshotSink.
func (r *received) Close() error {
	if r.pipe == nil {
		return nil
	}
	_ = r.pipe.Close() // Never fails.
	<-r.done
	if r.err != nil {
		return r.err
	}
	s := r.from
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = r
	return nil
}

// Cancel implements raft.SnapshotSink.
func (r *received) Cancel() error {
	if r.pipe == nil {
		return nil
	}
	_ = r.pipe.CloseWithError(errors.New("cancelled")) // Never fails.
	<-r.done
	if r.in != nil {
		return r.in.Drop()
	}
	return nil
}

// Read makes it a reader for the library, which gives it to fsm.Restore; that
// takes the tables and reads nothing.
func (r *received) Read([]byte) (int, error) { return 0, io.EOF }

// install puts what was received last in the place of the state.
func (s *snapshots) install() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.received == nil {
		return errors.New("nothing was received")
	}
	in, meta := s.received.in, s.received.meta
	s.received = nil
	if err := in.Install(); err != nil {
		return errors.Join(err, in.Drop())
	}
	h, err := s.store.Head(s.shard)
	if err == nil && (h.Index != meta.Index || h.Term != meta.Term) {
		err = fmt.Errorf("shard %d: what was received is at %v, and was said to be at %d of term %d", s.shard, h.Position, meta.Index, meta.Term)
	}
	return err
}
