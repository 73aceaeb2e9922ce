package soledad

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"leap.example/services/protocol/u1db"
)

// A row is a line of the table doc; rev is empty if there is none.
type row struct {
	id, rev, acked string
	gen            int
	deleted        bool
	dev            string
	wgen           int
	prev           []byte // Sums, 32 bytes each.
	blob, was      []byte
	body           []byte
}

const columns = "id, rev, acked, gen, deleted, dev, wgen, prev, blob, was, body"

// maxInline is the largest body that travels inside its document, bytes.
const maxInline = 64 << 10

func (r *row) fields() []any {
	return []any{&r.id, &r.rev, &r.acked, &r.gen, &r.deleted, &r.dev, &r.wgen, &r.prev, &r.blob, &r.was, &r.body}
}

func scanAll(rows *sql.Rows) ([]*row, error) {
	var all []*row
	var err error
	for rows.Next() && err == nil {
		r := &row{}
		err = rows.Scan(r.fields()...)
		all = append(all, r)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading documents: %w", err)
	}
	return all, nil
}

// doc returns r as its users see it.
func (r *row) doc() Doc {
	typ, _ := typeOf(r.id) // Checked when it was stored.
	d := Doc{ID: r.id, Type: typ, Body: r.body, Deleted: r.deleted, Rev: r.rev, Synced: r.rev == r.acked}
	if r.deleted {
		d.Body = nil
	}
	return d
}

// revision parses a stored revision; that of a row which is not there is the
// zero revision.
func revision(text string) (u1db.Revision, error) {
	if text == "" {
		return u1db.Revision{}, nil
	}
	r, err := u1db.ParseRevision(text)
	if err != nil {
		return u1db.Revision{}, fmt.Errorf("a stored revision: %w", err)
	}
	return r, nil
}

// load returns the row of a document.
func (tx *Tx) load(id string) (*row, error) {
	r := &row{}
	if _, err := tx.scan(r.fields(), "SELECT "+columns+" FROM doc WHERE id = ?", id); err != nil {
		return nil, err
	}
	r.id = id
	return r, nil
}

// change makes a new version of r: an own change.
func (tx *Tx) change(r *row, body []byte, deleted bool) error {
	rev, err := revision(r.rev)
	if err != nil {
		return err
	}
	return tx.changeTo(r, rev.Next(tx.replica), body, deleted)
}

// changeTo is change with the revision given, and with the sums of bodies that
// the new version replaces beside that of r.
func (tx *Tx) changeTo(r *row, rev u1db.Revision, body []byte, deleted bool, replaced ...[32]byte) error {
	if r.rev != "" && r.rev == r.acked { // Others have seen that version.
		sum := sha256.Sum256(r.body)
		r.prev, r.was = sum[:], r.blob
	}
	for _, sum := range replaced {
		if len(r.prev) < maxReplaced*len(sum) {
			r.prev = append(r.prev, sum[:]...)
		}
	}
	r.rev, r.body, r.deleted, r.dev = rev.String(), body, deleted, tx.replica
	r.setBlob()
	gen, err := tx.append(r, true)
	if err != nil {
		return err
	}
	r.gen, r.wgen = gen, gen
	return tx.store(r)
}

// maxReplaced bounds the sums that a version carries.
const maxReplaced = 255

// setBlob sets blob as the body wants it.
func (r *row) setBlob() {
	r.blob = nil
	if len(r.body) > maxInline {
		sum := sha256.Sum256(r.body)
		r.blob = sum[:]
	}
	if bytes.Equal(r.was, r.blob) {
		r.was = nil
	}
}

// store writes the row and calls the hooks.
func (tx *Tx) store(r *row) error {
	err := tx.exec("INSERT OR REPLACE INTO doc ("+columns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.id, r.rev, r.acked, r.gen, r.deleted, r.dev, r.wgen, some(r.prev), some(r.blob), some(r.was), some(r.body))
	if err != nil {
		return err
	}
	tx.changed = true
	d := r.doc()
	for _, f := range tx.s.hooks[d.Type] {
		d.Body = slices.Clone(r.body)
		if err := f(tx, d); err != nil {
			return fmt.Errorf("hook of %s: %w", d.ID, err)
		}
	}
	return nil
}

// some returns b, but never nil, which SQLite takes for NULL.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
