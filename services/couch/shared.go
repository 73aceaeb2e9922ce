package couch

import (
	"context"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// Shared is the database of documents that are found by an unguessable id
// (leap-protocols.md 7.9).
type Shared struct{ db database }

// Shared returns the store of shared documents.
func (d *DB) Shared() *Shared { return &Shared{d.in("shared", "document")} }

type sharedDoc struct {
	meta

	U1DBRev string `json:"u1db_rev"`
	Content string `json:"content"`
}

// Get returns a document, without Gen and TransID; NotExist when there is none.
func (s *Shared) Get(ctx context.Context, id string) (u1db.Document, error) {
	doc, err := s.read(ctx, id)
	if err != nil {
		return u1db.Document{}, err
	}
	return u1db.Document{ID: id, Rev: doc.U1DBRev, Content: doc.Content}, nil
}

func (s *Shared) read(ctx context.Context, id string) (sharedDoc, error) {
	var doc sharedDoc
	key, err := docID(id)
	if err != nil {
		return doc, err
	}
	err = s.db.get(ctx, key, &doc)
	return doc, err
}

// Put stores a document over the revision oldRev ("": there is none); Stale
// when another one is stored.
func (s *Shared) Put(ctx context.Context, doc u1db.Document, oldRev string) error {
	have, err := s.over(ctx, doc.ID, oldRev)
	if problem.KindOf(err) == problem.NotExist && oldRev == "" {
		have.ID, err = docID(doc.ID)
	}
	if err != nil {
		return err
	}
	have.U1DBRev, have.Content = doc.Rev, doc.Content
	_, err = s.db.update(ctx, have.ID, have)
	return err
}

// Delete removes a document in the revision oldRev; Stale when it has another,
// NotExist when there is none.
func (s *Shared) Delete(ctx context.Context, id, oldRev string) error {
	have, err := s.over(ctx, id, oldRev)
	if err != nil {
		return err
	}
	return s.db.remove(ctx, have.ID, have.Rev)
}

// over returns what is stored, if it has the revision.
func (s *Shared) over(ctx context.Context, id, rev string) (sharedDoc, error) {
	have, err := s.read(ctx, id)
	if err == nil && have.U1DBRev != rev {
		err = problem.Stale.Errorf("revision conflict")
	}
	return have, err
}
