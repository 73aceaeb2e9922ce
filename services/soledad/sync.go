package soledad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

var errMayNotCreate = fmt.Errorf("a sync may not create the database: %w", u1db.ErrUnauthorized)

// syncInfo answers where the database stands and how far it knows the source:
// leap-protocols.md 7.4, step 1.
func (s *Server) syncInfo(c *call) error {
	db := s.stores.Open(c.user)
	replica, gen, trans, err := info(c.Context(), db)
	if err != nil {
		return err
	}
	sourceGen, sourceTrans, err := db.SyncState(c.Context(), c.name)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, u1db.SyncInfo{
		TargetReplica: replica, TargetGeneration: gen, TargetTransID: trans,
		SourceReplica: c.name, SourceGeneration: sourceGen, SourceTransID: sourceTrans,
	})
}

// syncDone records how far the source says it may be considered known: step 5.
func (s *Server) syncDone(c *call) error {
	data, err := c.read(4096)
	if err != nil {
		return err
	}
	var done u1db.SyncDone
	if json.Unmarshal(data, &done) != nil || done.Generation < 0 || (done.Generation == 0) != (done.TransactionID == "") ||
		done.Generation > 0 && !u1db.ValidTransID(done.TransactionID) {
		return u1db.ErrBadRequest
	}
	unlock, err := s.writers.lock(c.Context(), c.user)
	if err != nil {
		return err
	}
	defer unlock()
	db := s.stores.Open(c.user)
	replica, _, _, err := info(c.Context(), db)
	if err != nil {
		return err
	}
	if replica == c.name {
		return u1db.ErrReplica
	}
	gen, trans, err := db.SyncState(c.Context(), c.name)
	if err != nil {
		return err
	}
	if err := u1db.CheckSource(done.Generation, done.TransactionID, gen, trans); err != nil {
		return err
	}
	if done.Generation > gen {
		if err := db.SetSyncState(c.Context(), c.name, done.Generation, done.TransactionID); err != nil {
			return err
		}
	}
	return c.json(http.StatusOK, map[string]bool{"ok": true})
}

// info is Documents.Info with the words for a database that is not there.
func info(ctx context.Context, db Documents) (replica string, gen int, trans string, err error) {
	replica, gen, trans, err = db.Info(ctx)
	if errors.Is(err, problem.NotExist) {
		err = u1db.ErrNoDatabase
	}
	return replica, gen, trans, err
}

// sync serves the three streams: steps 3 and 4, and the plain one that is both.
func (s *Server) sync(c *call) error {
	free, err := s.transfers.take(c.user)
	if err != nil {
		return err
	}
	defer free()
	// A type that cannot be parsed is the empty one.
	kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	var r *u1db.Reader
	var h u1db.SyncHeader
	switch kind {
	case u1db.SyncPut:
		r, h, err = u1db.NewPutReader(c.body, s.cfg.MaxEntry)
	case u1db.SyncGet:
		h, err = u1db.ReadGet(c.body)
	case u1db.PlainStream:
		r, h, err = u1db.NewPlainReader(c.body, s.cfg.MaxEntry)
	default:
		return u1db.ErrBadRequest
	}
	if err != nil {
		return err
	}
	x, err := s.begin(c, h)
	if err != nil {
		return err
	}
	if r != nil {
		if err := x.receive(c.Context(), r); err != nil {
			return err
		}
	}
	if kind == u1db.SyncPut {
		return x.acknowledge(c)
	}
	return x.send(c, kind)
}

// An exchange is one request of a sync.
type exchange struct {
	s       *Server
	db      UserDB
	id      exchangeID
	header  u1db.SyncHeader
	replica string // Of the database.
	seen    seen
}

// begin checks what a source knows of the database, and creates that if it is
// asked to and may.
func (s *Server) begin(c *call, h u1db.SyncHeader) (*exchange, error) {
	db := s.stores.Open(c.user)
	replica, gen, _, err := info(c.Context(), db)
	if errors.Is(err, u1db.ErrNoDatabase) && h.Ensure {
		if !s.cfg.EnsureCreates {
			return nil, errMayNotCreate
		}
		if err := s.stores.Create(c.Context(), c.user); err != nil {
			return nil, fmt.Errorf("creating a database: %w", err)
		}
		replica, gen, _, err = info(c.Context(), db)
	}
	if err != nil {
		return nil, err
	}
	trans := ""
	if h.LastKnownGeneration > 0 && h.LastKnownGeneration <= gen {
		trans, err = db.TransID(c.Context(), h.LastKnownGeneration)
		if errors.Is(err, problem.NotExist) {
			err = u1db.ErrTransaction
		}
		if err != nil {
			return nil, err
		}
	}
	if err := u1db.CheckKnown(h, c.name, replica, gen, trans); err != nil {
		return nil, err
	}
	id := exchangeID{c.user, c.name, h.SyncID}
	return &exchange{s, db, id, h, replica, s.exchanges.recall(id, time.Now())}, nil
}

// result returns the head of an answer at a generation.
func (x *exchange) result(gen int, trans string) u1db.SyncResult {
	r := u1db.SyncResult{NewGeneration: gen, NewTransactionID: trans}
	if x.header.Ensure {
		r.ReplicaUID = x.replica
	}
	return r
}

// acknowledge answers a put: step 3.
func (x *exchange) acknowledge(c *call) error {
	_, gen, trans, err := info(c.Context(), x.db)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", u1db.SyncPutResponse)
	return u1db.WritePutResponse(c.w, x.result(gen, trans))
}
