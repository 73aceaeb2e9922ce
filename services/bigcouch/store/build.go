package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// How much of an index one entry builds.
const (
	buildDocs  = 500
	buildBytes = 1 << 20
)

// Progress of an index, the first byte of its row p.
const (
	built    = 'd'
	building = 'b' // Up to the id that follows.
)

// BuildIndex builds the next piece of an index and reports whether nothing is
// left to do. Index rows are derived from documents and belong to this node
// alone: no log knows of them.
func (s *Store) BuildIndex(db *Database, ix IndexID) (done bool, err error) {
	b, err := s.Batch(db.Shard)
	if err != nil {
		return false, err
	}
	if done, err = b.buildIndex(db.place(), ix); err != nil {
		return false, errors.Join(err, b.Close())
	}
	return done, b.commit(false)
}

func (b *Batch) buildIndex(p place, ix IndexID) (done bool, err error) {
	set, err := b.indexSet(&b.s.indexed, p)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(set.indexes, func(x Index) bool { return x.ID == ix })
	if i < 0 {
		return true, nil
	}
	progress, err := b.get(p.indexProgress(ix))
	if err != nil || progress != "" && progress[0] == built {
		return true, err
	}
	start, end := p.table(tabDoc)
	n := len(start)
	if progress != "" {
		start = append(p.doc(progress[1:]), 0)
	} else {
		b.dropStale(p, set)
	}
	last, docs, size := "", 0, 0
	err = b.each(start, end, func(key, value []byte) (bool, error) {
		last = string(key[n:])
		docs++
		size += len(value)
		return docs < buildDocs && size < buildBytes, b.buildRow(p, set.indexes[i], last, string(value))
	})
	if err != nil {
		return false, err
	}
	if docs < buildDocs && size < buildBytes {
		b.set(p.indexProgress(ix), []byte{built})
		return true, nil
	}
	b.set(p.indexProgress(ix), append([]byte{building}, last...))
	return false, nil
}

// dropStale drops rows that belong to no index of the database: those made
// under another version of package order.
func (b *Batch) dropStale(p place, set *indexSet) {
	ids := make([]IndexID, len(set.indexes))
	for i, x := range set.indexes {
		ids[i] = x.ID
	}
	slices.SortFunc(ids, func(x, y IndexID) int { return bytes.Compare(x[:], y[:]) })
	start, end := p.span(kindIndex)
	for _, id := range ids {
		from, to := p.index(id)
		b.deleteRange(start, from)
		start = to
	}
	b.deleteRange(start, end)
}

// buildRow writes the row of one document, if it has one.
func (b *Batch) buildRow(p place, x Index, id, data string) error {
	if strings.HasPrefix(id, DesignPrefix) {
		return nil
	}
	d, err := parseDocument(id, data)
	if err != nil || d.Deleted {
		return err
	}
	body, err := b.body(p, d, d.Rev)
	if err != nil {
		return err
	}
	doc, err := content(id, d.Rev, body.JSON)
	if err != nil {
		return err
	}
	if key := p.indexKey(x, doc, id); key != nil {
		b.set(key, []byte(id))
	}
	return nil
}
