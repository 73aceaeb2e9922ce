package soledad

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// apply puts a version from the server, in, in relation to ours, leap-
// protocols.md 7.5 and client.md 4.7. r is our row, which may be empty.
func (tx *Tx) apply(in, r *row) (u1db.Verdict, error) {
	theirs, err := revision(in.rev)
	if err != nil {
		return u1db.Refused, err
	}
	mine, err := revision(r.rev)
	if err != nil {
		return u1db.Refused, err
	}
	switch theirs.Compare(mine) {
	case u1db.Equal:
		if in.deleted != r.deleted || !bytes.Equal(in.body, r.body) {
			return u1db.Refused, problem.Invalid.Errorf("one revision with two bodies")
		}
		return u1db.Converged, nil
	case u1db.Older:
		return u1db.Superseded, nil
	case u1db.Newer:
		return u1db.Inserted, tx.receive(in)
	}
	merged, err := tx.merge(r.doc(), in.doc())
	if err != nil {
		// The version stays until somebody decides.
		err := tx.exec("INSERT OR REPLACE INTO conflict (id, rev, deleted, body) VALUES (?, ?, ?, ?)", r.id, r.rev, r.deleted, some(r.body))
		if err != nil {
			return u1db.Refused, err
		}
		return u1db.Conflicted, tx.receive(in)
	}
	// Theirs is in the log, but the hooks see the merged version alone.
	if in.gen, err = tx.append(in, false); err != nil {
		return u1db.Refused, err
	}
	return u1db.Merged, tx.changeTo(in, theirs.Merge(mine).Next(tx.replica), merged.Body, merged.Deleted, sha256.Sum256(r.body))
}

// receive stores a version of another device as ours.
func (tx *Tx) receive(in *row) error {
	gen, err := tx.append(in, false)
	if err != nil {
		return err
	}
	in.gen = gen
	return tx.store(in)
}

// merge merges two versions by the rule of their type. Equal versions need
// none.
func (tx *Tx) merge(mine, theirs Doc) (Doc, error) {
	if mine.Deleted == theirs.Deleted && bytes.Equal(mine.Body, theirs.Body) {
		return theirs, nil
	}
	f := tx.s.merges[theirs.Type]
	if f == nil {
		f = lastWriter
	}
	d, err := f(mine, theirs)
	if err != nil {
		return Doc{}, fmt.Errorf("merging %s: %w", theirs.ID, err)
	}
	if d.Deleted {
		d.Body = nil
	}
	return d, nil
}

// lastWriter takes the version that was written more often, of two such the
// one that is not deleted, of two such the greater body: the same one, whoever
// asks.
func lastWriter(mine, theirs Doc) (Doc, error) {
	a, errA := revision(mine.Rev)
	b, errB := revision(theirs.Rev)
	if err := errors.Join(errA, errB); err != nil {
		return Doc{}, err
	}
	written := func(r u1db.Revision) (sum int) {
		for _, n := range r.All() {
			sum += n
		}
		return sum
	}
	switch na, nb := written(a), written(b); {
	case na != nb && na > nb:
		return mine, nil
	case na != nb:
		return theirs, nil
	case mine.Deleted:
		return theirs, nil
	case theirs.Deleted || bytes.Compare(mine.Body, theirs.Body) > 0:
		return mine, nil
	}
	return theirs, nil
}

// mergeConflicts merges the versions that were set aside, as far as their
// rules allow it by now, and returns how many.
func (tx *Tx) mergeConflicts() (merged int, err error) {
	rows, err := tx.query("SELECT id, rev, deleted, body FROM conflict ORDER BY id, rev")
	if err != nil {
		return 0, err
	}
	var aside []*row
	for rows.Next() && err == nil {
		c := &row{}
		err = rows.Scan(&c.id, &c.rev, &c.deleted, &c.body)
		aside = append(aside, c)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return 0, fmt.Errorf("reading conflicts: %w", err)
	}
	for _, c := range aside {
		done, err := tx.mergeConflict(c)
		if err != nil {
			return merged, err
		}
		if done {
			merged++
		}
	}
	return merged, nil
}

func (tx *Tx) mergeConflict(c *row) (bool, error) {
	r, err := tx.load(c.id)
	if err != nil {
		return false, err
	}
	mine, errMine := revision(c.rev)
	theirs, errTheirs := revision(r.rev)
	if err := errors.Join(errMine, errTheirs); err != nil {
		return false, err
	}
	d, err := tx.merge(c.doc(), r.doc())
	if err != nil && theirs.Compare(mine) != u1db.Newer {
		return false, nil // It stays.
	}
	if theirs.Compare(mine) != u1db.Newer {
		err = tx.changeTo(r, theirs.Merge(mine).Next(tx.replica), d.Body, d.Deleted, sha256.Sum256(c.body))
		if err != nil {
			return false, err
		}
	}
	return true, tx.exec("DELETE FROM conflict WHERE id = ? AND rev = ?", c.id, c.rev)
}
