package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// A View is the committed content of the store at one moment. Any goroutine
// may use it until it is closed; it is cheap, but holds up compaction while it
// lives.
type View struct{ source }

// View returns a view of now. The caller closes it. When a shard is replaced
// as a whole (Install), views that were made before answer service_unavailable
// to who asks for something of it.
func (s *Store) View() *View {
	seen := s.installs.now()
	return &View{source{s.db.NewSnapshot(), func(shard uint16) bool { return s.installs.since(seen, shard) }}}
}

// Close releases the view.
func (v *View) Close() error { return v.r.Close() }

// Database returns a row of the catalogue, nil when there is none.
func (v *View) Database(name string) (*Database, error) {
	d, err := v.catalogued(name)
	if err != nil || d == nil {
		return nil, err
	}
	h, err := v.head(d.Shard)
	d.Epoch = h.Epoch
	return d, err
}

// Part returns part i of a database in several.
func (v *View) Part(d *Database, i int) (*Database, error) {
	part := *d
	part.Shard, part.Part = d.Shards[i], i+1
	h, err := v.head(part.Shard)
	part.Epoch = h.Epoch
	return &part, err
}

// Databases returns the catalogue in order of names.
func (v *View) Databases() iter.Seq2[*Database, error] {
	start := catalogueKey("")
	epochs := map[uint16]uint64{}
	return rows(v.source, start, after(start), false, func(key, value []byte) (*Database, error) {
		d, err := parseDatabase(string(key[len(start):]), value)
		if err != nil {
			return nil, err
		}
		epoch, known := epochs[d.Shard]
		if !known {
			h, err := v.head(d.Shard)
			if err != nil {
				return nil, err
			}
			epoch = h.Epoch
			epochs[d.Shard] = epoch
		}
		d.Epoch = epoch
		return d, nil
	})
}

// SpreadDatabases returns the databases in several parts, in order of names.
func (v *View) SpreadDatabases() (dbs []*Database, err error) {
	start := catalogueKey("")
	err = v.each(start, after(start), func(key, value []byte) (bool, error) {
		if !bytes.Contains(value, []byte(`"shards":`)) { // Nearly all of very many.
			return true, nil
		}
		d, err := parseDatabase(string(key[len(start):]), value)
		if err == nil && d.Shards != nil {
			dbs = append(dbs, d)
		}
		return true, err
	})
	return dbs, err
}

// CountDatabases returns how many there are, also such that are being made or
// dropped.
func (v *View) CountDatabases() (n int, err error) {
	start := catalogueKey("")
	err = v.each(start, after(start), func([]byte, []byte) (bool, error) { n++; return true, nil })
	return n, err
}

// Info are the counters of a database.
type Info struct {
	Docs, Deleted uint64
	Seq           uint64 // Update sequence.
	Size          int64  // Of bodies and attachments of leaves, bytes.
	Purged        uint64 // Documents that were purged, counted.
}

// Info returns the counters, nil when the database is not there.
func (v *View) Info(db *Database) (*Info, error) {
	c, err := v.counters(db.place())
	if err != nil || c == nil {
		return nil, err
	}
	return &Info{c.Docs, c.Deleted, c.Seq, c.Size, c.Purged}, nil
}

// Document returns a document, nil when there never was one.
func (v *View) Document(db *Database, id string) (*Document, error) {
	return v.document(db.place(), id)
}

// Body returns the body of a leaf of d.
func (v *View) Body(db *Database, d *Document, r Rev) (Body, error) {
	body, err := v.body(db.place(), d, r)
	if err != nil {
		return body, fmt.Errorf("body of revision %v: %w", r, err)
	}
	return body, nil
}

// A Span is a range of ids or keys. The zero Span is everything.
type Span struct {
	Start      []byte // First, included.
	End        []byte // Not included. Nil: no bound.
	Descending bool
}

// Documents returns documents in order of their ids, tombstones too.
func (v *View) Documents(db *Database, in Span) iter.Seq2[*Document, error] {
	p := db.place()
	start, end := p.table(tabDoc)
	n := len(start)
	if in.End != nil {
		end = p.doc(string(in.End))
	}
	return rows(v.source, p.doc(string(in.Start)), end, in.Descending, func(key, value []byte) (*Document, error) {
		return parseDocument(string(key[n:]), string(value))
	})
}

// A Change is one row of the changes of a database.
type Change struct {
	Seq     uint64
	ID      string
	Deleted bool
	Leaves  []Rev // The winner first.
}

// Changes returns the documents by the sequence of their latest change, from
// the one after since, or in descending order down to it.
func (v *View) Changes(db *Database, since uint64, descending bool) iter.Seq2[Change, error] {
	p := db.place()
	_, end := p.table(tabSeq)
	return rows(v.source, p.seq(since+1), end, descending, func(key, value []byte) (Change, error) {
		k, r := row{s: string(key[len(key)-8:])}, row{s: string(value)}
		var c Change
		for range 8 {
			c.Seq = c.Seq<<8 | uint64(k.byte())
		}
		c.Deleted = r.byte()&flagDeleted != 0
		c.ID = r.string()
		for range r.count() {
			c.Leaves = append(c.Leaves, r.rev())
		}
		return c, r.err
	})
}

// Pending returns how many documents have changed after since.
func (v *View) Pending(db *Database, since uint64) (n int, err error) {
	_, end := db.place().table(tabSeq)
	err = v.each(db.place().seq(since+1), end, func([]byte, []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// ReadAttachment calls f with the bytes from off of an attachment of a leaf
// seen in this view, n of them, piece by piece. f does not keep them.
func (v *View) ReadAttachment(db *Database, a Att, off, n int64, f func([]byte) error) error {
	if n == 0 {
		return nil
	}
	p := db.place()
	at, known, err := v.attachment(p, a.Digest)
	if err != nil || !known {
		return fmt.Errorf("attachment %x: %w", a.Digest[:4], errRow)
	}
	_, end := p.blob(at.blob)
	skip := off % ChunkSize
	return v.each(p.chunk(at.blob, uint32(off/ChunkSize)), end, func(_, value []byte) (bool, error) {
		if int64(len(value)) < skip {
			return false, errRow
		}
		value = value[skip:]
		skip = 0
		value = value[:min(n, int64(len(value)))]
		n -= int64(len(value))
		return n > 0, f(value)
	})
}

// An Upload is an attachment that no document names yet.
type Upload struct {
	Drop  DropUpload // What removes it.
	Began int64      // By the proposers' clocks, Unix milliseconds.
}

// Uploads returns the uploads of a shard. After the start of a node by itself
// they are what a crash has left.
func (v *View) Uploads(shard uint16) (all []Upload, err error) {
	start := place{shard: shard}.key(kindData, tabUpload)
	err = v.each(start, after(start), func(key, value []byte) (bool, error) {
		var u Upload
		for _, c := range key[len(start) : len(start)+8] {
			u.Drop.DB = u.Drop.DB<<8 | uint64(c)
		}
		copy(u.Drop.Blob[:], key[len(start)+8:])
		r := row{s: string(value)}
		u.Began = int64(r.uint())
		all = append(all, u)
		return true, r.err
	})
	return all, err
}

// rows iterates over a range and parses its rows. It ends with the first
// error.
func rows[T any](s source, start, end []byte, descending bool, parse func(key, value []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if bytes.Compare(start, end) >= 0 {
			return
		}
		it, err := s.r.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
		if err != nil {
			yield(none, err)
			return
		}
		first, next := it.First, it.Next
		if descending {
			first, next = it.Last, it.Prev
		}
		for ok := first(); ok; ok = next() {
			value, err := it.ValueAndErr()
			var t T
			if err == nil {
				t, err = parse(it.Key(), value)
			}
			if !yield(t, err) || err != nil {
				_ = it.Close() // Its error is the one that was yielded, or nobody wants it.
				return
			}
		}
		if err := errors.Join(it.Close(), s.fresh(start)); err != nil {
			yield(none, err)
		}
	}
}
