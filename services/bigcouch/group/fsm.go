package group

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// An fsm applies the log of a group to the store. The library calls it from one
// goroutine.
type fsm struct {
	store   *store.Store
	shard   uint16
	snaps   *snapshots
	log     *slog.Logger
	fail    func(error) // The node cannot go on.
	marks   watermark
	members atomic.Pointer[members] // As of what is applied.
	history atomic.Uint64
	version atomic.Uint64 // Of entries, likewise.
	stored  *watermark    // Of the log.
	broken  error         // Nothing is applied any more.

	sums sync.WaitGroup // Digests being taken.
}

var (
	_ raft.BatchingFSM        = (*fsm)(nil)
	_ raft.ConfigurationStore = (*fsm)(nil)
)

// members are who holds a shard, and since which index of its log.
type members struct {
	raft.Configuration
	since uint64
}

// applied is what Apply returns to who has proposed.
type applied struct {
	term   uint64 // Of the entry.
	result store.Result
	err    error
}

// newFSM returns that of a shard. What reads all of the shard ends when done is closed.
func newFSM(s *store.Store, shard uint16, done <-chan struct{}, log *slog.Logger, fail func(error)) (*fsm, error) {
	f := &fsm{store: s, shard: shard, snaps: &snapshots{store: s, shard: shard, done: done}, log: log, fail: fail}
	return f, f.reload()
}

// reload learns where the state is.
func (f *fsm) reload() error {
	h, err := f.store.Head(f.shard)
	if err != nil {
		return err
	}
	f.arrived(h)
	return nil
}

func (f *fsm) arrived(h store.Head) {
	m := members{since: h.Since}
	if len(h.Members) > 0 {
		m.Configuration = raft.DecodeConfiguration(h.Members)
	}
	f.members.Store(&m)
	f.history.Store(h.History)
	f.version.Store(h.Version)
	f.marks.reach(h.Index)
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// StoreConfiguration implements raft.ConfigurationStore. The library hands
// configurations to ApplyBatch instead.
func (f *fsm) StoreConfiguration(uint64, raft.Configuration) {}

// ApplyBatch implements raft.BatchingFSM. Batches are not durable by
// themselves: the log is, and what a crash takes away is applied again.
func (f *fsm) ApplyBatch(entries []*raft.Log) []any {
	out := make([]any, len(entries))
	for begun := 0; begun < len(entries); {
		n, err := f.batch(entries[begun:], out[begun:])
		if err != nil {
			f.broken = err
			f.fail(fmt.Errorf("shard %d: %w", f.shard, err))
			for i := begun; i < len(entries); i++ {
				out[i] = applied{err: err}
			}
			break
		}
		begun += n
	}
	return out
}

// batch applies entries up to the end, or up to a digest, which is of what there
// is between two batches.
func (f *fsm) batch(entries []*raft.Log, out []any) (n int, err error) {
	if f.broken != nil {
		return 0, f.broken
	}
	b, err := f.store.Batch(f.shard)
	if err != nil {
		return 0, err
	}
	digest := false
	for n < len(entries) && !digest {
		var r store.Result
		if r, digest, err = f.apply(b, entries[n]); err != nil {
			return n, errors.Join(err, b.Close())
		}
		out[n] = applied{term: entries[n].Term, result: r}
		n++
	}
	h := b.Head()
	if err := b.Commit(false); err != nil {
		return 0, err
	}
	f.arrived(h)
	if digest {
		return n, f.sum()
	}
	return n, nil
}

// apply applies one entry. What the state has already is passed over: after a
// start the library may begin before it.
func (f *fsm) apply(b *store.Batch, l *raft.Log) (r store.Result, digest bool, err error) {
	if l.Index <= b.Head().Index {
		return r, false, nil
	}
	at := store.Position{Index: l.Index, Term: l.Term}
	if l.Type == raft.LogConfiguration {
		b.SetMembers(at, l.Data)
		return r, false, nil
	}
	e, err := f.store.DecodeEntry(l.Data)
	if err != nil {
		return r, false, fmt.Errorf("entry %d: %w", l.Index, err)
	}
	_, digest = e.Cmd.(store.Digest)
	r, err = b.Apply(at, e)
	return r, digest, err
}

// sum takes the digest of the state as it is now, in the background.
func (f *fsm) sum() error {
	snap, err := f.store.Snapshot(f.shard)
	if err != nil {
		return err
	}
	snap.Until(f.snaps.done)
	f.sums.Go(func() {
		sum, err := snap.Sum()
		if err == nil {
			err = f.store.SaveDigest(f.shard, snap.Head.Index, sum)
		}
		if err = errors.Join(err, snap.Close()); err != nil && !errors.Is(err, store.ErrCutShort) {
			f.log.Error("digest not taken", "shard", f.shard, "err", err)
		}
	})
	return nil
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.snaps.sends() {
		return nil, raft.ErrNothingNewToSnapshot
	}
	return nothing{}, f.broken
}

// nothing is a snapshot of what is durable already.
type nothing struct{}

// Persist implements raft.FSMSnapshot.
func (nothing) Persist(sink raft.SnapshotSink) error { return sink.Close() }

// Release implements raft.FSMSnapshot.
func (nothing) Release() {}

// Restore implements raft.FSM: it installs what the leader has sent.
func (f *fsm) Restore(io.ReadCloser) error {
	err := f.snaps.install()
	if err == nil {
		err = f.reload()
		f.stored.raise(f.marks.now())
	}
	if err != nil {
		f.broken = err
		f.fail(fmt.Errorf("shard %d: %w", f.shard, err))
	}
	return err
}
