package soledad

import (
	"context"
	"errors"
	"fmt"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// maxQuarantine bounds the bad documents that are kept; the oldest go first.
const maxQuarantine = 10_000

// quarantine sets a document of the server aside; an empty reason says that it
// is sound and waits for its blob.
func (tx *Tx) quarantine(d u1db.Document, reason string) error {
	n := 0
	if err := tx.meta(metaQuarantined, &n); err != nil {
		return err
	}
	n++
	return errors.Join(tx.setMeta(metaQuarantined, n),
		tx.exec("INSERT OR REPLACE INTO quarantine (id, rev, content, reason, seen) VALUES (?, ?, ?, ?, ?)", d.ID, d.Rev, d.Content, reason, n),
		tx.exec("DELETE FROM quarantine WHERE reason <> '' AND seen <= ?", n-maxQuarantine))
}

// release takes a document out of quarantine, if it is there.
func (tx *Tx) release(id string) error { return tx.exec("DELETE FROM quarantine WHERE id = ?", id) }

// quarantined returns the server's ids of what is set aside.
func (tx *Tx) quarantined() (map[string]bool, error) {
	all, err := tx.aside()
	ids := map[string]bool{}
	for _, q := range all {
		ids[q.ID] = true
	}
	return ids, err
}

// Quarantined is a document of the server that was not taken.
type Quarantined struct {
	ID     string // The server's.
	Rev    string
	Reason string // Empty: it is sound, but its large body is still to be fetched.
}

func (tx *Tx) aside() ([]Quarantined, error) {
	rows, err := tx.query("SELECT id, rev, reason FROM quarantine ORDER BY seen")
	if err != nil {
		return nil, err
	}
	var all []Quarantined
	for rows.Next() && err == nil {
		var q Quarantined
		err = rows.Scan(&q.ID, &q.Rev, &q.Reason)
		all = append(all, q)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the quarantine: %w", err)
	}
	return all, nil
}

// Quarantine returns the documents that are set aside, in the order of their
// arrival. Each Sync tries them again.
func (s *Store) Quarantine(ctx context.Context) (all []Quarantined, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		all, err = tx.aside()
		return err
	})
	return all, err
}

// retryQuarantine fetches the blobs that documents wait for, and tries bad
// documents again: the keyring may know more by now.
func (e *exchange) retryQuarantine(ctx context.Context) error {
	all, err := e.s.Quarantine(ctx)
	if err != nil {
		return err
	}
	for _, q := range all {
		if err := e.retry(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (e *exchange) retry(ctx context.Context, q Quarantined) error {
	d := u1db.Document{ID: q.ID, Rev: q.Rev}
	err := e.s.View(ctx, func(tx *Tx) error {
		_, err := tx.scan([]any{&d.Content}, "SELECT content FROM quarantine WHERE id = ?", q.ID)
		return err
	})
	if err != nil {
		return err
	}
	// Whether it names a blob is in the document; ask for it only then.
	in, err := e.open(d)
	var blob []byte
	if err == nil && len(in.blob) > 0 {
		blob, err = e.fetch(ctx, d)
		if errors.Is(err, problem.Unavailable) || errors.Is(err, problem.Unauthenticated) || isFatal(err) {
			return err
		}
	}
	return e.s.Update(ctx, func(tx *Tx) error {
		v := u1db.Refused
		if err == nil {
			v, err = e.take(tx, d, blob, true)
		}
		if isFatal(err) {
			return err
		}
		if err != nil {
			return tx.exec("UPDATE quarantine SET reason = ? WHERE id = ?", err.Error(), q.ID)
		}
		switch v {
		case u1db.Inserted:
			e.res.Pulled++
		case u1db.Merged:
			e.res.Merged++
		}
		return tx.release(q.ID)
	})
}
