package soledad

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// pull fetches what changed at the server since the last complete pull, and
// stores it batch by batch. A new replica gets the newest changes first.
func (e *exchange) pull(ctx context.Context) (u1db.SyncResult, error) {
	h := e.header
	h.NewestFirst = e.known.gen == 0
	var batch []u1db.Document
	size := 0
	flush := func() error {
		err := e.store(ctx, batch)
		batch, size = batch[:0], 0
		return err
	}
	res, err := e.r.syncGet(ctx, e.replica, h, func(d u1db.Document) error {
		if d.ID == keyringID { // Not a document of the store: see LoadKeyring.
			return nil
		}
		batch = append(batch, d)
		if size += len(d.Content); len(batch) < batchDocs && size < batchBytes {
			return nil
		}
		return flush()
	})
	// What arrived is good even if the stream broke off.
	return res, errors.Join(err, flush())
}

// store takes documents from the server in one transaction. None of them stops
// the others.
func (e *exchange) store(ctx context.Context, docs []u1db.Document) error {
	if len(docs) == 0 {
		return nil
	}
	// Each savepoint makes a full-text index of the hooks flush what it has in
	// memory: they are set only if a document fails.
	err := e.storeAll(ctx, docs, false)
	if errors.Is(err, errHalf) {
		err = e.storeAll(ctx, docs, true)
	}
	return err
}

// errHalf is returned by take for a document that may be applied by half: the
// transaction must not be committed.
var errHalf = errors.New("a document was not applied")

func (e *exchange) storeAll(ctx context.Context, docs []u1db.Document, savepoints bool) error {
	pulled, merged, bad := 0, 0, 0
	err := e.s.Update(ctx, func(tx *Tx) error {
		for _, d := range docs {
			v, err := e.take(tx, d, nil, savepoints)
			switch {
			case errors.Is(err, errHalf):
				return err
			case errors.Is(err, errBlob):
				err = tx.quarantine(d, "")
			case isFatal(err):
				return err
			case err != nil:
				bad++
				err = tx.quarantine(d, err.Error())
			default:
				err = tx.release(d.ID)
			}
			if err != nil {
				return err
			}
			switch v {
			case u1db.Inserted:
				pulled++
			case u1db.Merged:
				merged++
			}
		}
		return nil
	})
	if err == nil {
		e.res.Pulled, e.res.Merged, e.res.Quarantined = e.res.Pulled+pulled, e.res.Merged+merged, e.res.Quarantined+bad
	}
	return err
}

// isFatal reports whether err is about this device and not about the document
// at hand: the disk, the database, the caller's patience.
func isFatal(err error) bool {
	_, db := errors.AsType[*sqlite3.Error](err)
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		db && !errors.Is(err, sqlite3.CONSTRAINT)
}

// errBlob is returned for a document whose body is a blob that is not here.
var errBlob = errors.New("the body is a blob that is still to be fetched")

// take opens one document and applies it, all or nothing with a savepoint;
// without one, it may fail with errHalf. blob is the body if
// the document names a blob, nil if it was not fetched.
func (e *exchange) take(tx *Tx, d u1db.Document, blob []byte, savepoint bool) (u1db.Verdict, error) {
	in, err := e.open(d)
	if err != nil {
		return u1db.Refused, err
	}
	r, err := tx.load(in.id)
	if err != nil {
		return u1db.Refused, err
	}
	if len(in.blob) > 0 {
		switch {
		case bytes.Equal(r.blob, in.blob):
			in.body = r.body
		case blob == nil:
			return u1db.Refused, errBlob
		default:
			in.body = blob
		}
	}
	if !savepoint {
		v, err := tx.apply(in, r)
		if err != nil && !isFatal(err) {
			err = fmt.Errorf("%w: %w", errHalf, err)
		}
		return v, err
	}
	if err := tx.exec("SAVEPOINT take"); err != nil {
		return u1db.Refused, err
	}
	v, err := tx.apply(in, r)
	if err != nil {
		return u1db.Refused, errors.Join(err, tx.exec("ROLLBACK TO take"), tx.exec("RELEASE take"))
	}
	return v, tx.exec("RELEASE take")
}

// open opens a document and checks all that it says of itself. Only LD1 is
// taken; a deletion without seal is a forgery (client.md 4.1).
func (e *exchange) open(d u1db.Document) (*row, error) {
	h, body, err := envelope.OpenDoc(d.Content, e.k.key, e.r.docAD(d.ID, d.Rev))
	if err != nil {
		return nil, err
	}
	rev, err := u1db.ParseRevision(d.Rev)
	if err != nil {
		return nil, err
	}
	typ, err := typeOf(h.LocalID)
	switch {
	case err != nil:
		return nil, err
	case typ != h.Type || envelope.DocID(e.k.id, h.LocalID) != d.ID:
		return nil, problem.Invalid.Errorf("the document names itself otherwise")
	case rev.Get(h.Dev) == 0 || rev.Get(e.target) != 0 || h.Gen == 0:
		return nil, problem.Invalid.Errorf("revision %s does not fit its writer", d.Rev)
	case h.Deleted && (h.Blob || len(body) > 0), h.Blob && len(body) != sha256.Size+8:
		return nil, problem.Invalid.Errorf("the body does not fit the header")
	}
	r := &row{id: h.LocalID, rev: d.Rev, acked: d.Rev, deleted: h.Deleted, dev: h.Dev, wgen: h.Gen, body: body}
	for _, sum := range h.Prev {
		r.prev = append(r.prev, sum[:]...)
	}
	if h.Blob {
		r.blob, r.body = body[:sha256.Size:sha256.Size], nil
	}
	return r, nil
}

// fetch downloads the body of a document that names a blob.
func (e *exchange) fetch(ctx context.Context, d u1db.Document) ([]byte, error) {
	_, ref, err := envelope.OpenDoc(d.Content, e.k.key, e.r.docAD(d.ID, d.Rev))
	if err != nil {
		return nil, err
	}
	sum, size := [32]byte(ref), binary.BigEndian.Uint64(ref[sha256.Size:])
	if size > envelope.MaxBlob {
		return nil, problem.Limit.Errorf("a blob of %d bytes", size)
	}
	id := envelope.BlobID(e.k.id, sum)
	sealed, err := e.r.getBlob(ctx, id, int64(size)+int64(size)/8+1<<16)
	if err != nil {
		return nil, fmt.Errorf("fetching a body: %w", err)
	}
	body, err := envelope.OpenBlob(sealed, e.k.key, e.r.blobAD(id))
	if err == nil && (uint64(len(body)) != size || sha256.Sum256(body) != sum) {
		err = envelope.ErrForged
	}
	return body, err
}
