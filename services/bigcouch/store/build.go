package store

import (
	"slices"
	"strings"

	"leap.example/services/bigcouch/order"
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

// BuildIndex builds the next piece of an index. Index rows are derived from
// documents, so that each node of a cluster would do it for itself. The result
// is Done when nothing is left to do.
type BuildIndex struct {
	DB    uint64
	Index IndexID
}

func (c BuildIndex) apply(b *Batch) (Result, error) {
	p := place{b.shard, c.DB}
	set, err := b.indexSet(&b.s.indexed, p)
	if err != nil {
		return Result{}, err
	}
	i := slices.IndexFunc(set.indexes, func(x Index) bool { return x.ID == c.Index })
	if i < 0 {
		return Result{Done: true}, nil
	}
	if set.row.Version != order.Version { // No row that is there is of use.
		b.deleteRange(p.span(kindIndex))
		if err := b.setIndexVersion(p, set); err != nil {
			return Result{}, err
		}
	}
	progress, err := b.get(p.indexProgress(c.Index))
	if err != nil || progress != "" && progress[0] == built {
		return Result{Done: true}, err
	}
	start, end := p.table(tabDoc)
	n := len(start)
	if progress != "" {
		start = append(p.doc(progress[1:]), 0)
	}
	last, docs, size := "", 0, 0
	err = b.each(start, end, func(key, value []byte) (bool, error) {
		last = string(key[n:])
		docs++
		size += len(value)
		return docs < buildDocs && size < buildBytes, b.buildRow(p, set.indexes[i], last, string(value))
	})
	if err != nil {
		return Result{}, err
	}
	if docs < buildDocs && size < buildBytes {
		b.set(p.indexProgress(c.Index), []byte{built})
		return Result{Done: true}, nil
	}
	b.set(p.indexProgress(c.Index), append([]byte{building}, last...))
	return Result{}, nil
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
