package store

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// A source reads rows: a snapshot, or a batch that is being made.
type source struct {
	r     pebble.Reader
	stale func(shard uint16) bool // Of a snapshot: rows of a shard may have been taken away since. Nil: never.
}

// errStale means that a shard was replaced under a view.
var errStale = &Refusal{"service_unavailable", "The shard was just replaced by a newer copy."}

// fresh returns an error when what was just read may be the half of something:
// a row, or those from one on.
func (s source) fresh(key []byte) error {
	if s.stale != nil && len(key) >= 3 && s.stale(binary.BigEndian.Uint16(key[1:])) {
		return errStale
	}
	return nil
}

// get returns a row, or "" when there is none. No row is empty.
func (s source) get(key []byte) (string, error) {
	v, closer, err := s.r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return "", s.fresh(key)
	}
	if err != nil {
		return "", err
	}
	data := string(v)
	return data, errors.Join(closer.Close(), s.fresh(key))
}

// document returns a document's row, nil when there is none.
func (s source) document(p place, id string) (*Document, error) {
	data, err := s.get(p.doc(id))
	if err != nil || data == "" {
		return nil, err
	}
	return parseDocument(id, data)
}

// body returns the content of a leaf of d.
func (s source) body(p place, d *Document, r Rev) (Body, error) {
	if r == d.Rev && d.inline != "" {
		return parseBody(d.inline)
	}
	data, err := s.get(p.body(d.ID, r))
	if err != nil {
		return Body{}, err
	}
	return parseBody(data)
}

// counters are the running totals of a database. A database that is not open
// in its shard has none.
type counters struct {
	Docs, Deleted, Seq uint64
	Size               int64 // Of bodies and attachments of leaves, bytes.
	Indexes            int
	Purged             uint64 // Documents that were purged, counted.
	Designs            uint64 // Changes of design documents, since version 2 of entries.
}

func (s source) counters(p place) (*counters, error) {
	data, err := s.get(p.counters())
	if err != nil || data == "" {
		return nil, err
	}
	r := row{s: data}
	c := &counters{Docs: r.uint(), Deleted: r.uint(), Seq: r.uint(), Size: int64(r.uint()), Indexes: int(r.uint())}
	if r.s != "" { // Rows of before purging end here.
		c.Purged = r.uint()
	}
	if r.s != "" && r.err == nil {
		c.Designs = r.uint()
	}
	return c, r.err
}

// each calls f for the rows of a range until it returns false or an error. The
// slices are valid during the call only.
func (s source) each(start, end []byte, f func(key, value []byte) (bool, error)) error {
	it, err := s.r.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			ok, err = f(it.Key(), v)
		}
		if err != nil || !ok {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Close(), s.fresh(start))
}
