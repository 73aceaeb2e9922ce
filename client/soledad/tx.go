package soledad

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
)

// A Doc is one document as its users see it.
type Doc struct {
	ID      string // Local id, "type/…", at most 1024 bytes.
	Type    string // What stands before the first "/" of ID; may be left empty in Put.
	Body    []byte // At most 40 MiB; nil when deleted.
	Deleted bool
	Rev     string // Vector clock; ignored by Put.
	Synced  bool   // The server has this version; ignored by Put.
}

// A Tx is a transaction. It is used by the goroutine that got it, until the
// function that got it returns.
type Tx struct {
	s       *Store
	ctx     context.Context // Of the Update or View, whose function has no other way to get at it.
	sql     *sql.Tx
	stmts   map[string]*sql.Stmt
	replica string
	changed bool // A document was.
}

// Update runs f in a transaction and commits it; when it returns nil, the
// changes are on disk. If f fails, nothing has happened. One Update runs at a
// time: f must not block on anything but the store, and not call Update.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.writer }()
	tx, err := s.begin(ctx, s.writers, nil)
	if err != nil {
		return err
	}
	defer tx.sql.Rollback() // Does nothing after the commit.
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.sql.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if tx.changed {
		s.signal()
	}
	return nil
}

// View runs f in a transaction that sees one state of the store and cannot
// change it. It runs beside others, and f may call Update.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	tx, err := s.begin(ctx, s.readers, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.sql.Rollback() // There is nothing to undo.
	return f(tx)
}

func (s *Store) begin(ctx context.Context, db *sql.DB, opt *sql.TxOptions) (*Tx, error) {
	t, err := db.BeginTx(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	return &Tx{s: s, ctx: ctx, sql: t, stmts: map[string]*sql.Stmt{}, replica: s.Replica()}, nil
}

// SQL returns the transaction for tables of other packages, which share the
// file. The tables named in the package comment are this package's alone.
func (tx *Tx) SQL() *sql.Tx { return tx.sql }

// Get returns a document; problem.NotExist if there is none or it is deleted.
func (tx *Tx) Get(id string) (Doc, error) {
	r, err := tx.load(id)
	if err != nil {
		return Doc{}, err
	}
	if r.rev == "" || r.deleted {
		return Doc{}, problem.NotExist.Errorf("no document %s", id)
	}
	return r.doc(), nil
}

// Put stores a document, new or not. What is there already is no change.
func (tx *Tx) Put(d Doc) error {
	typ, err := typeOf(d.ID)
	if err != nil {
		return err
	}
	if d.Deleted || d.Type != "" && d.Type != typ {
		return problem.Invalid.Errorf("document %s is put as type %q, deleted %v", d.ID, d.Type, d.Deleted)
	}
	if len(d.Body) > envelope.MaxBlob {
		return problem.Limit.Errorf("document %s has %d bytes", d.ID, len(d.Body))
	}
	r, err := tx.load(d.ID)
	if err != nil {
		return err
	}
	if r.rev != "" && !r.deleted && bytes.Equal(r.body, d.Body) {
		return nil
	}
	return tx.change(r, d.Body, false)
}

// Delete deletes a document; problem.NotExist if there is none.
func (tx *Tx) Delete(id string) error {
	r, err := tx.load(id)
	if err != nil {
		return err
	}
	if r.rev == "" || r.deleted {
		return problem.NotExist.Errorf("no document %s", id)
	}
	return tx.change(r, nil, true)
}

// Each calls f for each document of the type typ that is not deleted, sorted
// by id, until f fails. f may change documents.
func (tx *Tx) Each(typ string, f func(Doc) error) error {
	after, end := typ+"/", typ+"0" // "0" follows "/".
	for {
		page, err := tx.page(after, end)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if err := f(r.doc()); err != nil {
				return err
			}
		}
		after = page[len(page)-1].id
	}
}

// page returns some documents with after < id < end.
func (tx *Tx) page(after, end string) ([]*row, error) {
	rows, err := tx.query("SELECT "+columns+" FROM doc WHERE id > ? AND id < ? AND NOT deleted ORDER BY id LIMIT 64", after, end)
	if err != nil {
		return nil, err
	}
	return scanAll(rows)
}

// typeOf returns the type in a local id, which it checks.
func typeOf(id string) (string, error) {
	typ, rest, ok := strings.Cut(id, "/")
	if !ok || typ == "" || rest == "" || len(typ) > 255 || len(id) > 1024 || !utf8.ValidString(id) {
		return "", problem.Invalid.Errorf("%.80q is not a document id", id)
	}
	return typ, nil
}

// stmt returns the prepared statement of a query, one for each transaction.
func (tx *Tx) stmt(query string) (*sql.Stmt, error) {
	if st := tx.stmts[query]; st != nil {
		return st, nil
	}
	st, err := tx.sql.PrepareContext(tx.ctx, query)
	if err != nil {
		return nil, fmt.Errorf("preparing %.40q: %w", query, err)
	}
	tx.stmts[query] = st
	return st, nil
}

func (tx *Tx) exec(query string, args ...any) error {
	st, err := tx.stmt(query)
	if err != nil {
		return err
	}
	if _, err := st.ExecContext(tx.ctx, args...); err != nil {
		return fmt.Errorf("executing %.40q: %w", query, err)
	}
	return nil
}

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	st, err := tx.stmt(query)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(tx.ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("querying %.40q: %w", query, err)
	}
	return rows, nil
}

// row is QueryRow for statements that run rarely.
func (tx *Tx) row(query string, args ...any) *sql.Row {
	return tx.sql.QueryRowContext(tx.ctx, query, args...)
}

// scan reads the one row of a query; false if there is none.
func (tx *Tx) scan(dest []any, query string, args ...any) (bool, error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return false, err
	}
	found := rows.Next()
	if found {
		err = rows.Scan(dest...)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return false, fmt.Errorf("reading %.40q: %w", query, err)
	}
	return found, nil
}
