package soledad

import (
	"context"
	"errors"
	"fmt"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// maxRefusals is how many documents in a row the server may refuse for their
// quota, one by one, before the rest of a push is left for another Sync: there
// is no room even for small ones.
const maxRefusals = 16

// A refusals is what the server would not take in one Sync.
//
// A refused document stays pending. It must not fall behind the generation that
// the server has acknowledged, where it would be taken for sent: before
// anything that comes after it in the log is sent, it gets a new place at the
// log's end.
type refusals struct {
	ids   map[string]bool // Local ids. They are not tried again in this Sync.
	held  map[string]int  // Those that still have their place in the log, and it.
	first error           // Why the first one was refused.
	row   int             // How many documents were refused since one was taken.
	blob  int             // Bodies of so many bytes have no room; 0: all have, as far as is known.
}

// isRefusal reports whether the server has refused a document, and may take
// others: no room for it, or too big. Other Limits are about the rate.
func isRefusal(err error) bool {
	return errors.Is(err, u1db.ErrQuota) || errors.Is(err, u1db.ErrDocumentTooBig)
}

// refuse notes that the document id, at gen in the log, is left out.
func (f *refusals) refuse(id string, gen int, err error) {
	if f.ids == nil {
		f.ids = map[string]bool{}
	}
	if f.first == nil {
		f.first = err
	}
	f.ids[id], f.held[id] = true, gen
}

// err is that of a Sync that has done all it could.
func (f *refusals) err() error {
	if len(f.ids) == 0 {
		return nil
	}
	return problem.Limit.Errorf("the server refuses %d documents: %w", len(f.ids), f.first)
}

// sealOrRefuse seals a row; false if the document is left out.
func (e *exchange) sealOrRefuse(ctx context.Context, r *row, trans string) (s sealed, ok bool, err error) {
	f := &e.refused
	switch {
	case f.ids[r.id]:
		f.held[r.id] = r.gen
		return s, false, nil
	case f.blob > 0 && len(r.blob) > 0 && len(r.body) >= f.blob:
		f.refuse(r.id, r.gen, f.first)
		return s, false, nil
	}
	d, err := e.seal(ctx, r, trans)
	if isRefusal(err) {
		f.refuse(r.id, r.gen, err)
		f.blob = len(r.body)
		return s, false, nil
	}
	return sealed{r.id, d}, err == nil, err
}

// makeWay moves the refused documents that lie before upto to the log's end.
func (e *exchange) makeWay(ctx context.Context, upto int) error {
	var ids []string
	for id, gen := range e.refused.held {
		if gen < upto {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err := e.s.Update(ctx, func(tx *Tx) error {
		for _, id := range ids {
			r, err := tx.load(id)
			if err != nil {
				return err
			}
			if r.gen != e.refused.held[id] {
				continue // It was changed meanwhile, and so is at the end already.
			}
			if err := tx.move(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("putting off what the server refuses: %w", err)
	}
	for _, id := range ids {
		delete(e.refused.held, id)
	}
	return nil
}

// move gives a document a new place in the log, beyond all that the server can
// know.
func (tx *Tx) move(r *row) error {
	gen, err := tx.append(r, false)
	if err != nil {
		return err
	}
	return tx.exec("UPDATE doc SET gen = ? WHERE id = ?", gen, r.id)
}

// unsentSince reports whether a document after generation gen waits that the
// server has not refused.
func (e *exchange) unsentSince(tx *Tx, gen int) (bool, error) {
	rows, err := tx.query("SELECT id FROM doc WHERE acked <> rev AND gen > ?", gen)
	if err != nil {
		return false, err
	}
	found := false
	for rows.Next() && err == nil && !found {
		id := ""
		err = rows.Scan(&id)
		found = !e.refused.ids[id]
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return false, fmt.Errorf("looking for what is to be sent: %w", err)
	}
	return found, nil
}
