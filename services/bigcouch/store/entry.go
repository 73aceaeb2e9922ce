package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// An OpID names one logical write of a client: a second entry with the same
// one changes nothing and has the first one's answer.
type OpID [16]byte

// OpLife is how long an answer is kept, in milliseconds of the proposers'
// clocks as they were seen in the log.
const OpLife = 10 * 60 * 1000

// An Entry is one element of a shard's log.
type Entry struct {
	Op   OpID  // Zero: none.
	Time int64 // The proposer's clock, Unix milliseconds.
	Cmd  Command
}

// Size returns about how many bytes e brings along.
func (e Entry) Size() int {
	n := 256
	switch c := e.Cmd.(type) {
	case WriteDocs:
		for i := range c.Docs {
			n += 256 + len(c.Docs[i].Body)
			for j := range c.Docs[i].Atts {
				n += len(c.Docs[i].Atts[j].Data)
			}
		}
	case WriteChunk:
		n += len(c.Data)
	}
	return n
}

// A Command says what an entry changes. The types that implement it are those
// of this package.
type Command interface {
	// apply changes b. Its error means that the store cannot be read, and
	// nothing of the batch is committed; a command that is refused says so in
	// its Result.
	apply(b *Batch) (Result, error)
}

// A Result is the answer to an entry.
type Result struct {
	Err      *Refusal    `json:"err,omitempty"`
	Docs     []DocResult `json:"docs,omitempty"`   // Of WriteDocs: one for each document, in order.
	Database *Database   `json:"-"`                // Of CreateDatabase: the one in the way.
	Rev      string      `json:"rev,omitempty"`    // Of WriteLocal.
	Purged   [][]Rev     `json:"purged,omitempty"` // Of Purge: what went, for each document, in order.
	Done     bool        `json:"-"`                // Of BuildIndex: nothing is left to do.
}

// A DocResult is what became of one document.
type DocResult struct {
	ID  string   `json:"id"`
	Rev Rev      `json:"rev"`
	Err *Refusal `json:"err,omitempty"`
}

// A Refusal says why a command was not carried out, in CouchDB's words.
type Refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (r *Refusal) Error() string { return r.Name + ": " + r.Reason }

// Refusals.
var (
	ErrConflict   = &Refusal{"conflict", "Document update conflict."}
	ErrMissing    = &Refusal{"not_found", "missing"}
	ErrDeleted    = &Refusal{"not_found", "deleted"}
	ErrNoDatabase = &Refusal{"not_found", "Database does not exist."}
	ErrExists     = &Refusal{"file_exists", "The database could not be created, the file already exists."}
)

func errMissingStub(id, name string) *Refusal {
	return &Refusal{"missing_stub", fmt.Sprintf("Invalid attachment stub in %s for %s", id, name)}
}

// A Batch carries out entries of one shard and commits them together. It is
// used by one goroutine, and a shard has one batch at a time.
type Batch struct {
	source
	s       *Store
	b       *pebble.Batch
	shard   uint16
	applied uint64
	time    int64 // The highest seen.
	open    []openDB
	named   []Update // Databases that were made or dropped.
}

// An openDB is a database that the batch has changed.
type openDB struct {
	p place
	c *counters
}

// Batch begins a batch of a shard. The caller ends it with Commit or Close.
func (s *Store) Batch(shard uint16) (*Batch, error) {
	pb := s.db.NewIndexedBatch()
	b := &Batch{source: source{pb}, s: s, b: pb, shard: shard}
	data, err := b.get(b.global().key(kindData, tabApplied))
	if err != nil {
		return nil, err
	}
	if data != "" {
		r := row{s: data}
		b.applied, b.time = r.uint(), int64(r.uint())
		err = r.err
	}
	return b, err
}

func (b *Batch) global() place { return place{shard: b.shard} }

// Apply carries out e and returns its index in the log. An error is one of the
// store: the batch must be closed then.
func (b *Batch) Apply(e Entry) (uint64, Result, error) {
	b.applied++
	b.time = max(b.time, e.Time)
	if e.Op == (OpID{}) {
		r, err := e.Cmd.apply(b)
		return b.applied, r, err
	}
	var r Result
	key := b.global().key(kindData, tabOp, e.Op[:])
	known, err := b.get(key)
	if err != nil {
		return 0, Result{}, err
	}
	if known != "" {
		if err := json.Unmarshal([]byte(known), &r); err != nil {
			return 0, Result{}, errRow
		}
		return b.applied, r, b.abandon(e.Cmd)
	}
	if r, err = e.Cmd.apply(b); err != nil {
		return 0, Result{}, err
	}
	answer, err := json.Marshal(r)
	if err != nil {
		return 0, Result{}, err
	}
	b.set(key, answer)
	b.set(b.global().key(kindData, tabOpExpiry, u64(uint64(b.time)), e.Op[:]), []byte{1})
	return b.applied, r, b.expire()
}

// expire forgets answers that are older than OpLife, a few at a time.
func (b *Batch) expire() error {
	start := b.global().key(kindData, tabOpExpiry)
	end := b.global().key(kindData, tabOpExpiry, u64(uint64(max(0, b.time-OpLife))))
	n := 0
	return b.each(start, end, func(key, _ []byte) (bool, error) {
		op := key[len(key)-len(OpID{}):]
		b.delete(b.global().key(kindData, tabOp, op))
		b.delete(append([]byte(nil), key...))
		n++
		return n < 32, nil
	})
}

// database returns the counters of a database for changing, nil when it is
// not open in this shard.
func (b *Batch) database(p place) (*counters, error) {
	for _, o := range b.open {
		if o.p == p {
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
func (b *Batch) set(key, value []byte) { _ = b.b.Set(key, value, nil) }
func (b *Batch) delete(key []byte)     { _ = b.b.Delete(key, nil) }

func (b *Batch) deleteRange(start, end []byte) { _ = b.b.DeleteRange(start, end, nil) }

// Commit makes the batch durable, then visible, then wakes who waits for its
// databases.
func (b *Batch) Commit() error {
	for _, o := range b.open {
		if o.c != nil {
			b.set(o.p.counters(), o.c.encode())
		}
	}
	a := binary.AppendUvarint(nil, b.applied)
	b.set(b.global().key(kindData, tabApplied), binary.AppendUvarint(a, uint64(b.time)))
	if err := b.b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	for _, o := range b.open {
		b.s.wakers.wake(o.p.db)
	}
	b.s.updates.add(b.open, b.named)
	return b.b.Close()
}

// Close drops what was not committed.
func (b *Batch) Close() error { return b.b.Close() }

func (c *counters) encode() []byte {
	b := binary.AppendUvarint(nil, c.Docs)
	b = binary.AppendUvarint(b, c.Deleted)
	b = binary.AppendUvarint(b, c.Seq)
	b = binary.AppendUvarint(b, uint64(c.Size))
	b = binary.AppendUvarint(b, uint64(c.Indexes))
	return binary.AppendUvarint(b, c.Purged)
}
