package store

import "iter"

// Indexes returns the indexes of a database.
func (s *Store) Indexes(v *View, db *Database) ([]Index, error) {
	set, err := v.indexSet(&s.indexed, db.place())
	if err != nil {
		return nil, err
	}
	return set.indexes, nil
}

// Built reports whether an index has all its rows in this view. BuildIndex
// brings them.
func (v *View) Built(db *Database, ix IndexID) (bool, error) {
	progress, err := v.get(db.place().indexProgress(ix))
	return progress != "" && progress[0] == built, err
}

// A Found is a row of an index.
type Found struct {
	Key []byte // Where the row lies: what Span means.
	ID  string // Of the document.
}

// Rows returns rows of an index in the order of their keys.
func (v *View) Rows(db *Database, ix IndexID, in Span) iter.Seq2[Found, error] {
	start, end := db.place().indexRows(ix)
	n := len(start)
	if in.End != nil {
		end = append(start[:n:n], in.End...)
	}
	return rows(v.source, append(start[:n:n], in.Start...), end, in.Descending, func(key, value []byte) (Found, error) {
		return Found{append([]byte(nil), key[n:]...), string(value)}, nil
	})
}

// Content decodes the winner of d as selectors want it: a map with _id and
// _rev.
func (v *View) Content(db *Database, d *Document) (map[string]any, error) {
	return v.LeafContent(db, d, Node{Rev: d.Rev, Deleted: d.Deleted})
}

// LeafContent decodes a leaf of d. That of a tombstone has _deleted.
func (v *View) LeafContent(db *Database, d *Document, leaf Node) (map[string]any, error) {
	body, err := v.Body(db, d, leaf.Rev)
	if err != nil {
		return nil, err
	}
	m, err := content(d.ID, leaf.Rev, body.JSON)
	if err == nil && leaf.Deleted {
		m["_deleted"] = true
	}
	return m, err
}
