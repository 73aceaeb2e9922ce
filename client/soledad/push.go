package soledad

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A batch of documents is one POST: so many bodies, or so many bytes of them.
const (
	batchDocs  = 256
	batchBytes = 4 << 20
)

// A sealed is a document on its way, with its local id.
type sealed struct {
	id  string
	doc u1db.Document
}

// push sends what the server has not seen, after generation from of our log
// and up to where the round began. It returns the last generation that the
// server has processed. What the server refuses is left out: see refusals.
func (e *exchange) push(ctx context.Context, from int) (int, error) {
	e.pushed, e.refused.held = from, map[string]int{}
	for {
		var rows []*row
		var trans []string
		err := e.s.View(ctx, func(tx *Tx) (err error) {
			rows, trans, err = tx.unsent(from, e.own.gen)
			return err
		})
		if err != nil || len(rows) == 0 {
			return e.pushed, err
		}
		var docs []sealed
		for i, r := range rows {
			s, ok, err := e.sealOrRefuse(ctx, r, trans[i])
			if err != nil {
				return e.pushed, err
			}
			if ok {
				docs = append(docs, s)
			}
		}
		if err := e.send(ctx, docs); err != nil {
			return e.pushed, err
		}
		from = rows[len(rows)-1].gen
	}
}

// send sends documents in the order of the log. If the server refuses one, it
// is found by halves.
func (e *exchange) send(ctx context.Context, docs []sealed) error {
	if len(docs) == 0 {
		return nil
	}
	last := docs[len(docs)-1].doc.Gen
	if err := e.makeWay(ctx, last); err != nil {
		return err
	}
	batch := make([]u1db.Document, len(docs))
	for i, s := range docs {
		batch[i] = s.doc
	}
	res, err := e.r.syncPut(ctx, e.replica, e.header, batch)
	switch {
	case isRefusal(err):
		return e.sendHalves(ctx, docs, err)
	case err != nil:
		return fmt.Errorf("sending %d documents: %w", len(docs), err)
	}
	if res.ReplicaUID != "" {
		e.target = res.ReplicaUID
	}
	e.refused.row = 0
	return e.sent(ctx, last, len(docs))
}

// sent records that the server has our log up to gen, n documents of it new.
func (e *exchange) sent(ctx context.Context, gen, n int) error {
	e.pushed = gen
	e.res.Pushed += n
	return e.s.setPushed(ctx, gen)
}

// sendHalves goes on after the server refused docs, of which it may have taken
// the first ones.
func (e *exchange) sendHalves(ctx context.Context, docs []sealed, refusal error) error {
	info, err := e.r.syncInfo(ctx, e.replica)
	if err != nil && !(e.header.Ensure && errors.Is(err, problem.NotExist)) {
		return err
	}
	taken := 0
	for taken < len(docs) && docs[taken].doc.Gen <= info.SourceGeneration {
		taken++
	}
	if taken > 0 {
		if err := e.sent(ctx, docs[taken-1].doc.Gen, taken); err != nil {
			return err
		}
		docs = docs[taken:]
	}
	if len(docs) == 1 {
		e.refused.refuse(docs[0].id, docs[0].doc.Gen, refusal)
		if e.refused.row++; e.refused.row >= maxRefusals {
			return fmt.Errorf("sending documents: %w", refusal)
		}
		return nil
	}
	half := len(docs) / 2
	if err := e.send(ctx, docs[:half]); err != nil {
		return err
	}
	return e.send(ctx, docs[half:])
}

// unsent returns a batch of documents whose newest change is after generation
// from and not after upto, in the order of the log, with its transaction ids.
func (tx *Tx) unsent(from, upto int) (batch []*row, trans []string, err error) {
	resend := false
	if err := tx.meta(metaResend, &resend); err != nil {
		return nil, nil, err
	}
	rows, err := tx.query("SELECT id, length(body) FROM doc WHERE gen > ? AND gen <= ? AND (acked <> rev OR ?) ORDER BY gen LIMIT ?", from, upto, resend, batchDocs)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for total := 0; rows.Next() && err == nil; {
		id, n := "", 0
		err = rows.Scan(&id, &n)
		if total += n; len(ids) > 0 && total > batchBytes {
			break
		}
		ids = append(ids, id)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, nil, fmt.Errorf("reading what is to be sent: %w", err)
	}
	for _, id := range ids {
		r, err := tx.load(id)
		if err != nil {
			return nil, nil, err
		}
		p, err := tx.at(r.gen)
		if err != nil {
			return nil, nil, err
		}
		batch, trans = append(batch, r), append(trans, p.trans)
	}
	return batch, trans, nil
}

// seal makes the document that the server gets of a row. A large body is
// uploaded first.
func (e *exchange) seal(ctx context.Context, r *row, trans string) (u1db.Document, error) {
	d := r.doc()
	h := envelope.DocHeader{Type: d.Type, LocalID: r.id, Dev: r.dev, Gen: r.wgen, Deleted: r.deleted, Blob: len(r.blob) > 0}
	for i := 0; i+32 <= len(r.prev); i += 32 {
		h.Prev = append(h.Prev, [32]byte(r.prev[i:]))
	}
	body := r.body
	if h.Blob {
		if err := e.upload(ctx, [32]byte(r.blob), r.body); err != nil {
			return u1db.Document{}, fmt.Errorf("uploading the body of %s: %w", r.id, err)
		}
		body = binary.BigEndian.AppendUint64(r.blob, uint64(len(r.body)))
	}
	id := envelope.DocID(e.k.id, r.id)
	content, err := envelope.SealDoc(e.k.current(), e.r.docAD(id, r.rev), h, body, rand.Reader)
	if err != nil {
		return u1db.Document{}, fmt.Errorf("sealing %s: %w", r.id, err)
	}
	return u1db.Document{ID: id, Rev: r.rev, Content: content, Gen: r.gen, TransID: trans}, nil
}

// upload seals and uploads a body with the given sum.
func (e *exchange) upload(ctx context.Context, sum [32]byte, body []byte) error {
	id := envelope.BlobID(e.k.id, sum)
	sealed, err := envelope.SealBlob(e.k.current(), e.r.blobAD(id), body, rand.Reader)
	if err != nil {
		return err
	}
	return e.r.putBlob(ctx, id, sealed)
}

// docAD and blobAD are what a seal is bound to.
func (r *Remote) docAD(id, rev string) envelope.AD {
	return envelope.AD{User: r.user, Database: r.database(), ID: id, Rev: rev}
}

func (r *Remote) blobAD(id string) envelope.AD {
	return envelope.AD{User: r.user, Database: blobNamespace, ID: id}
}

// blobNamespace is where blobs lie when a request names no namespace,
// leap-protocols.md 7.10.
const blobNamespace = "default"

// setPushed records that the server has seen our log up to gen.
func (s *Store) setPushed(ctx context.Context, gen int) error {
	return s.Update(ctx, func(tx *Tx) error { return tx.setMeta(metaPushed, gen) })
}

// acknowledge marks the documents that the server has processed, and whose
// version it did not contradict in the pull that followed, as synchronised. A
// version of it that is in quarantine contradicts.
func (tx *Tx) acknowledge(k *Keyring, pushed int) error {
	quarantined, err := tx.quarantined()
	if err != nil {
		return err
	}
	rows, err := tx.query("SELECT id, rev FROM doc WHERE acked <> rev AND gen <= ?", pushed)
	if err != nil {
		return err
	}
	var ids []string
	for rows.Next() && err == nil {
		id, rev := "", ""
		err = rows.Scan(&id, &rev)
		if len(quarantined) == 0 || !quarantined[envelope.DocID(k.id, id)] {
			ids = append(ids, id)
		}
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading what was sent: %w", err)
	}
	for _, id := range ids {
		// The blob of the version before is nobody's now.
		if err := tx.exec("INSERT OR IGNORE INTO garbage SELECT was FROM doc WHERE id = ? AND was <> x''", id); err != nil {
			return err
		}
		if err := tx.exec("UPDATE doc SET acked = rev, was = x'' WHERE id = ?", id); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes blobs from the server that no document names any more.
func (e *exchange) sweep(ctx context.Context) error {
	var sums [][]byte
	err := e.s.Update(ctx, func(tx *Tx) error {
		err := tx.exec("DELETE FROM garbage WHERE sum IN (SELECT blob FROM doc WHERE blob <> x'')")
		if err != nil {
			return err
		}
		rows, err := tx.query("SELECT sum FROM garbage LIMIT 100")
		if err != nil {
			return err
		}
		for rows.Next() && err == nil {
			var sum []byte
			err = rows.Scan(&sum)
			sums = append(sums, sum)
		}
		return errors.Join(err, rows.Err(), rows.Close())
	})
	if err != nil {
		return fmt.Errorf("looking for blobs to remove: %w", err)
	}
	for _, sum := range sums {
		if err := e.r.deleteBlob(ctx, envelope.BlobID(e.k.id, [32]byte(sum))); err != nil {
			return fmt.Errorf("removing a blob: %w", err)
		}
		err := e.s.Update(ctx, func(tx *Tx) error { return tx.exec("DELETE FROM garbage WHERE sum = ?", sum) })
		if err != nil {
			return err
		}
	}
	return nil
}
