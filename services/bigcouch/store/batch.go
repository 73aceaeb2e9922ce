package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// A Batch carries out entries of one shard and commits them together. It is
// used by one goroutine, and a shard has one batch at a time.
type Batch struct {
	source
	s         *Store
	b         *pebble.Batch
	finder    *finder // What source reads from.
	shard     uint16
	head      Head
	clock     int64 // Of the proposer of the entry that is being applied.
	open      []openDB
	named     []Update    // Databases that were made or dropped.
	news      news        // What others know no more.
	views     bool        // It drops rows of views.
	forgotten []byte      // The last row of table p that is gone with this batch.
	owner     *sync.Mutex // Of the shard, held until the batch ends.
}

// An openDB is a database that the batch has changed.
type openDB struct {
	p place
	c *counters
}

// Batch begins a batch of a shard, when the one before has ended. The caller
// ends it with Commit or Close.
func (s *Store) Batch(shard uint16) (*Batch, error) {
	owner := s.owner(shard)
	owner.Lock()
	pb := s.db.NewIndexedBatch()
	f := newFinder(pb, s.db, shard)
	b := &Batch{source: source{r: f}, s: s, b: pb, finder: f, shard: shard, owner: owner}
	var err error
	if b.head, err = b.source.head(shard); err == nil {
		err = s.knows(shard, b.head)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Head returns how far the shard has come, with this batch.
func (b *Batch) Head() Head { return b.head }

func (b *Batch) global() place { return place{shard: b.shard} }

// Apply carries out the entry at a position, which lies behind that of the
// head. An error is one of the store: the batch must be closed then.
func (b *Batch) Apply(at Position, e Entry) (Result, error) {
	b.head.Position = at
	b.head.tick(e.Time)
	b.clock = e.Time
	if e.Op == (OpID{}) {
		return e.Cmd.apply(b)
	}
	var r Result
	key := b.global().key(kindData, tabOp, e.Op[:])
	known, err := b.get(key)
	if err != nil {
		return Result{}, err
	}
	if known != "" {
		if err := json.Unmarshal([]byte(known), &r); err != nil {
			return Result{}, errRow
		}
		return r, b.abandon(e.Cmd)
	}
	if r, err = e.Cmd.apply(b); err != nil {
		return Result{}, err
	}
	if r.Err == ErrJudged {
		return r, nil // Not yet the answer: it is judged anew.
	}
	answer, err := json.Marshal(r)
	if err != nil {
		return Result{}, err
	}
	b.set(key, answer)
	b.set(b.global().key(kindData, tabOpExpiry, u64(uint64(b.head.Age)), e.Op[:]), []byte{1})
	return r, b.expire()
}

// SetMembers notes who holds the shard from a position on.
func (b *Batch) SetMembers(at Position, members []byte) {
	b.head.Position, b.head.Members, b.head.Since = at, members, at.Index
}

// expire forgets answers that are older than OpLife, a few at a time.
func (b *Batch) expire() error {
	start := b.global().key(kindData, tabOpExpiry)
	if after := b.s.expired(b.shard); after != nil {
		start = append(after, 0) // What lies before is gone: not to be walked over again and again.
	}
	end := b.global().key(kindData, tabOpExpiry, u64(uint64(max(0, b.head.Age-OpLife))))
	n := 0
	return b.each(start, end, func(key, _ []byte) (bool, error) {
		op := key[len(key)-len(OpID{}):]
		b.delete(b.global().key(kindData, tabOp, op))
		b.forgotten = append([]byte(nil), key...)
		b.delete(b.forgotten)
		n++
		return n < 32, nil
	})
}

// database returns the counters of a database for changing, nil when it is
// not open in this shard.
func (b *Batch) database(p place) (*counters, error) {
	for _, o := range b.open {
		if o.p == p && o.c != nil { // One that was dropped may have been opened again since.
			return o.c, nil
		}
	}
	c, err := b.counters(p)
	if err == nil && c != nil {
		b.open = append(b.open, openDB{p, c})
	}
	return c, err
}

// set and delete cannot fail: a batch that is not committed lies in memory.
func (b *Batch) set(key, value []byte) {
	b.wrote(key)
	_ = b.b.Set(key, value, nil)
}

func (b *Batch) delete(key []byte) {
	b.wrote(key)
	_ = b.b.Delete(key, nil)
}

func (b *Batch) wrote(key []byte) {
	b.finder.wrote(key)
	b.news.wrote(key)
}

func (b *Batch) deleteRange(start, end []byte) {
	b.finder.ranges = true
	_ = b.b.DeleteRange(start, end, nil)
}

// Refound makes the shard the beginning of a new history that members hold; of
// none if that is 0, for a node by itself. epoch is that of the shard from now
// on.
func (b *Batch) Refound(term, history uint64, members []byte, epoch uint64) {
	b.head.Term, b.head.History, b.head.Members, b.head.Since = term, history, members, b.head.Index
	b.head.Epoch = epoch
	b.news.all = true
	for _, kind := range []byte{kindLog, kindStable, kindDigest} {
		b.deleteRange(shardSpan(kind, b.shard))
	}
}

// SetValue stores a value of the log of the shard (Log.SetValue) with the batch.
func (b *Batch) SetValue(name, value []byte) { b.set(b.s.Log(b.shard).valueKey(name), value) }

// NameHistory gives the log of a shard its name, if it has none.
type NameHistory struct{ History uint64 }

func (n NameHistory) apply(b *Batch) (Result, error) {
	if b.head.History == 0 {
		b.head.History = n.History
	}
	return Result{}, nil
}

// Commit makes the batch visible, then wakes who waits for its databases. A
// batch that is not durable is lost in a crash, together with all that came
// after it: its entries must be in a durable log.
func (b *Batch) Commit(durable bool) error {
	for _, o := range b.open {
		if o.c != nil {
			b.set(o.p.counters(), o.c.encode())
		}
	}
	b.set(b.global().key(kindData, tabApplied), b.head.encode())
	return b.commit(durable)
}

func (b *Batch) commit(durable bool) error {
	how := pebble.NoSync
	if durable {
		how = pebble.Sync
	}
	if b.views { // No writer of rows may come between its look at the database and its own commit.
		b.s.views.mu.Lock()
		defer b.s.views.mu.Unlock()
	}
	if err := b.finder.release(); err != nil {
		return fmt.Errorf("committing: %w", errors.Join(err, b.Close()))
	}
	if err := b.b.Commit(how); err != nil {
		return fmt.Errorf("committing: %w", errors.Join(err, b.Close()))
	}
	b.news.tell(b.s)
	if b.forgotten != nil {
		b.s.setExpired(b.shard, b.forgotten)
	}
	for _, o := range b.open {
		b.s.wakers.wake(o.p.db)
	}
	b.s.updates.add(b.open, b.named)
	return b.Close()
}

// Close drops what was not committed.
func (b *Batch) Close() error {
	defer b.owner.Unlock()
	return errors.Join(b.finder.release(), b.b.Close())
}

func (c *counters) encode() []byte {
	b := binary.AppendUvarint(nil, c.Docs)
	b = binary.AppendUvarint(b, c.Deleted)
	b = binary.AppendUvarint(b, c.Seq)
	b = binary.AppendUvarint(b, uint64(c.Size))
	b = binary.AppendUvarint(b, uint64(c.Indexes))
	b = binary.AppendUvarint(b, c.Purged)
	if c.Designs == 0 {
		return b
	}
	return binary.AppendUvarint(b, c.Designs)
}
