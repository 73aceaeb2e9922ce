package storetest

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// Info implements soledad.Documents.
func (u *UserDB) Info(context.Context) (replica string, gen int, trans string, err error) {
	d, unlock, err := u.open()
	if err != nil {
		return "", 0, "", err
	}
	defer unlock()
	if n := len(d.log); n > 0 {
		return d.replica, n, d.log[n-1].TransID, nil
	}
	return d.replica, 0, "", nil
}

// SyncState implements soledad.Documents.
func (u *UserDB) SyncState(_ context.Context, source string) (gen int, trans string, err error) {
	d, unlock, err := u.open()
	if err != nil {
		return 0, "", err
	}
	defer unlock()
	at := d.sources[source]
	return at.Gen, at.TransID, nil
}

// SetSyncState implements soledad.Documents.
func (u *UserDB) SetSyncState(_ context.Context, source string, gen int, trans string) error {
	d, unlock, err := u.open()
	if err != nil {
		return err
	}
	defer unlock()
	d.sources[source] = u1db.Change{Gen: gen, TransID: trans}
	return nil
}

// Get implements soledad.Documents.
func (u *UserDB) Get(_ context.Context, docID string) (u1db.Document, error) {
	d, unlock, err := u.open()
	if err != nil {
		return u1db.Document{}, err
	}
	defer unlock()
	if doc, ok := d.docs[docID]; ok {
		return doc, nil
	}
	return u1db.Document{}, problem.NotExist.Errorf("no such document")
}

// GetMany implements soledad.Documents.
func (u *UserDB) GetMany(_ context.Context, ids []string) ([]u1db.Document, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	docs := make([]u1db.Document, 0, len(ids))
	for _, id := range ids {
		if doc, ok := d.docs[id]; ok {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

// Changes implements soledad.Documents.
func (u *UserDB) Changes(_ context.Context, since, limit int) ([]u1db.Change, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []u1db.Change
	for _, ch := range d.log[min(since, len(d.log)):] {
		if len(list) == limit {
			break
		}
		if d.docs[ch.DocID].Gen == ch.Gen {
			list = append(list, ch)
		}
	}
	return list, nil
}

// TransID implements soledad.Documents.
func (u *UserDB) TransID(_ context.Context, gen int) (string, error) {
	d, unlock, err := u.open()
	if err != nil {
		return "", err
	}
	defer unlock()
	if gen < 1 || gen > len(d.log) {
		return "", problem.NotExist.Errorf("no such generation")
	}
	return d.log[gen-1].TransID, nil
}

// Append implements soledad.Documents.
func (u *UserDB) Append(_ context.Context, docs []u1db.Document, prev []string) ([]u1db.Change, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for i, doc := range docs {
		if d.docs[doc.ID].Rev != prev[i] {
			return nil, problem.Stale.Errorf("another revision is stored")
		}
	}
	for _, doc := range docs {
		trans, err := u1db.NewTransID(rand.Reader)
		if err != nil {
			return nil, err
		}
		doc.Gen, doc.TransID = len(d.log)+1, trans
		d.docs[doc.ID] = doc
		d.log = append(d.log, u1db.Change{DocID: doc.ID, Gen: doc.Gen, TransID: trans})
	}
	d.change()
	return slices.Clone(d.log[len(d.log)-len(docs):]), nil
}
