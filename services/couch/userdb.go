package couch

import (
	"context"
	"encoding/json"
	"fmt"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A UserDB is one user's database: U1DB documents with their log, the incoming
// queue, and blobs. Its layout and the rules that keep it consistent are in the
// package's documentation.
type UserDB struct {
	db     database
	err    error // The user's id has no database.
	waiter waiter
}

// userDoc is a U1DB document as it is stored. A deleted one has no content but
// stays.
type userDoc struct {
	ID      string `json:"_id"`
	Rev     string `json:"_rev,omitempty"`
	U1DBRev string `json:"u1db_rev"`
	Content string `json:"content,omitempty"`
	Gen     int    `json:"gen"` // The last generation in which it was written.
	TransID string `json:"trans_id"`
	GenRev  string `json:"gen_rev"`        // Revision of that generation's document.
	Void    bool   `json:"void,omitempty"` // There is no document: see repair.
}

func (d userDoc) document() u1db.Document {
	return u1db.Document{ID: u1dbID(d.ID), Rev: d.U1DBRev, Content: d.Content, Gen: d.Gen, TransID: d.TransID}
}

// Info returns the replica uid of the database, and its last generation with
// the id of its transaction; 0 and "" when it is empty.
func (u *UserDB) Info(ctx context.Context) (replica string, gen int, trans string, err error) {
	c, err := u.settled(ctx)
	return c.Replica, c.Gen, c.TransID, err
}

// TransID returns the transaction id of a generation, "" of generation 0;
// NotExist when the database did not have it yet.
func (u *UserDB) TransID(ctx context.Context, gen int) (string, error) {
	if u.err != nil || gen == 0 {
		return "", u.err
	}
	if gen < 0 || gen > maxGen {
		return "", problem.NotExist.Errorf("no such generation")
	}
	var g genDoc
	if err := u.db.get(ctx, genID(gen), &g); err != nil {
		return "", err
	}
	return g.TransID, nil
}

// SyncState returns how far the database knows the replica source: 0 and ""
// when it does not.
func (u *UserDB) SyncState(ctx context.Context, source string) (gen int, trans string, err error) {
	id, err := u.syncID(source)
	if err != nil {
		return 0, "", err
	}
	var doc syncDoc
	err = u.db.get(ctx, id, &doc)
	if problem.KindOf(err) == problem.NotExist {
		_, err = u.config(ctx) // Is it the database that is missing?
		return 0, "", err
	}
	return doc.Gen, doc.TransID, err
}

// SetSyncState stores how far the database knows the replica source.
func (u *UserDB) SetSyncState(ctx context.Context, source string, gen int, trans string) error {
	id, err := u.syncID(source)
	if err != nil {
		return err
	}
	return u.db.note(ctx, id, syncDoc{Gen: gen, TransID: trans, Replica: source})
}

type syncDoc struct {
	Gen     int    `json:"gen"`
	TransID string `json:"trans_id"`
	Replica string `json:"replica_uid"`
}

func (u *UserDB) syncID(source string) (string, error) {
	if !u1db.ValidReplica(source) {
		return "", problem.Invalid.Errorf("malformed replica uid")
	}
	return "_local/sync_" + source, u.err
}

// Get returns a document, which may be a deleted one (Content ""); NotExist
// when there never was one.
func (u *UserDB) Get(ctx context.Context, id string) (u1db.Document, error) {
	docs, err := u.GetMany(ctx, []string{id})
	if err == nil && len(docs) == 0 {
		err = problem.NotExist.Errorf("no such document")
	}
	if err != nil {
		return u1db.Document{}, err
	}
	return docs[0], nil
}

// GetMany returns documents in the order of ids, leaving out those that are not
// there. Each has the generation of its last change.
func (u *UserDB) GetMany(ctx context.Context, ids []string) ([]u1db.Document, error) {
	stored, err := u.stored(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []u1db.Document
	for _, d := range stored {
		if d.U1DBRev != "" {
			out = append(out, d.document())
		}
	}
	return out, nil
}

// stored returns what is stored under ids, in their order. Of a document that
// is not there only the ID is set, and of one that a repair made Void, no
// U1DBRev.
func (u *UserDB) stored(ctx context.Context, ids []string) ([]userDoc, error) {
	if u.err != nil {
		return nil, u.err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		var err error
		if keys[i], err = docID(id); err != nil {
			return nil, err
		}
	}
	out := make([]userDoc, len(ids))
	for start := 0; start < len(keys); start += maxBatch {
		end := min(start+maxBatch, len(keys))
		docs, err := u.db.many(ctx, keys[start:end])
		if err != nil {
			return nil, err
		}
		for i, raw := range docs {
			d := &out[start+i]
			if raw != nil {
				if err := json.Unmarshal(raw, d); err != nil {
					return nil, fmt.Errorf("reading a document: %w", err)
				}
			}
			d.ID = keys[start+i]
		}
	}
	return out, nil
}

// Size returns how many bytes the database takes: documents, queue and blobs.
// It is one question, whatever the database holds.
func (u *UserDB) Size(ctx context.Context) (int64, error) {
	if u.err != nil {
		return 0, u.err
	}
	var size int64
	err := read(ctx, func(ctx context.Context) error {
		stats, err := u.db.kivik.Stats(ctx)
		if err == nil {
			size = max(stats.ActiveSize, stats.ExternalSize)
		}
		return err
	})
	return size, u.db.failed("measuring", err)
}

// Wait returns when anything in the database has changed since its last return;
// the first call returns at once. It has no deadline but ctx.
func (u *UserDB) Wait(ctx context.Context) error {
	if u.err != nil {
		return u.err
	}
	return u.waiter.wait(ctx, u.db)
}
