package store

import "slices"

// Purge removes leaves of documents, with what only they descend from, as if
// they had never been. What is not a leaf stays. A document without leaves is
// gone; it does not appear among the changes. Who derives something from
// documents learns of it from View.Purges.
type Purge struct {
	DB   uint64
	Keep int // How many purges of the database are remembered.
	Docs []PurgeDoc
}

// A PurgeDoc names leaves of one document.
type PurgeDoc struct {
	ID   string
	Revs []Rev
}

func (c Purge) apply(b *Batch) (Result, error) {
	p := place{b.shard, c.DB}
	counters, err := b.database(p)
	if err != nil {
		return Result{}, err
	}
	if counters == nil {
		return Result{Err: ErrNoDatabase}, nil
	}
	var r Result
	for i := range c.Docs {
		e := edit{Batch: b, p: p, c: counters}
		gone, err := e.purge(c.Docs[i])
		if err != nil {
			return Result{}, err
		}
		r.Purged = append(r.Purged, gone)
	}
	return r, b.forgetPurges(p, counters, c.Keep)
}

// purge removes leaves of one document and returns which were there.
func (e *edit) purge(in PurgeDoc) (gone []Rev, err error) {
	if e.old, err = e.document(e.p, in.ID); err != nil || e.old == nil {
		return nil, err
	}
	if e.tree, err = e.old.Tree(); err != nil {
		return nil, err
	}
	tree, gone := e.tree.without(in.Revs)
	if gone == nil {
		return nil, nil
	}
	before, err := e.winning(e.old)
	if err != nil {
		return nil, err
	}
	for _, r := range gone {
		if err := e.cover(r); err != nil {
			return nil, err
		}
	}
	e.delete(e.p.seq(e.old.Seq))
	e.c.count(e.old.Deleted, -1)
	e.c.Purged++
	e.set(e.p.purge(e.c.Purged), []byte(in.ID))
	if len(tree) == 0 {
		e.delete(e.p.doc(in.ID))
		return gone, e.reindex(before, &Document{ID: in.ID, Deleted: true})
	}
	w := tree.winner()
	e.c.Seq++
	d := &Document{ID: in.ID, Seq: e.c.Seq, Rev: w.Rev, Deleted: w.Deleted, tree: tree}
	if d.Rev == e.old.Rev {
		d.inline = e.old.inline
	}
	e.c.count(d.Deleted, 1)
	e.set(e.p.doc(d.ID), d.encode())
	e.set(e.p.seq(d.Seq), encodeChange(d))
	return gone, e.reindex(before, d)
}

// without returns the tree without some leaves and what only they descend
// from, and which of revs were leaves.
func (t Tree) without(revs []Rev) (rest Tree, gone []Rev) {
	keep := make([]bool, len(t))
	for _, n := range t {
		switch {
		case !n.Leaf:
		case slices.Contains(revs, n.Rev):
			gone = append(gone, n.Rev)
		default:
			for _, r := range t.Path(n.Rev) {
				keep[t.find(r)] = true
			}
		}
	}
	for i, n := range t {
		if keep[i] {
			rest = append(rest, n)
		}
	}
	return rest, gone
}

// forgetPurges drops all but the latest purges.
func (b *Batch) forgetPurges(p place, c *counters, keep int) error {
	if c.Purged <= uint64(keep) {
		return nil
	}
	start, _ := p.table(tabPurge)
	return b.each(start, p.purge(c.Purged-uint64(keep)+1), func(key, _ []byte) (bool, error) {
		b.delete(slices.Clone(key))
		return true, nil
	})
}

// Purges returns the ids of the documents that were purged after the purge
// numbered since, and whether all of them are still remembered: if not, what
// is derived from documents must be made anew.
func (v *View) Purges(db *Database, since uint64) (ids []string, all bool, err error) {
	c, err := v.counters(db.place())
	if err != nil || c == nil || since >= c.Purged {
		return nil, true, err
	}
	_, end := db.place().table(tabPurge)
	err = v.each(db.place().purge(since+1), end, func(_, value []byte) (bool, error) {
		ids = append(ids, string(value))
		return true, nil
	})
	return ids, uint64(len(ids)) == c.Purged-since, err
}
