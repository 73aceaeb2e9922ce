package soledad

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	keyringID     = "keyring"
	sharedReplica = "c5056143546bdbad6609d7ed064f102a" // Writes every revision in the shared database.
	maxShared     = 64 << 10                           // Of a shared document, bytes.
	maxKeyring    = 1 << 20                            // Of a keyring, bytes.

	// A user may make so many shared documents at once, and then one in each
	// pause: nothing in the shared database belongs to anybody.
	sharedBurst = 16
	sharedEvery = 10 * time.Minute
)

// getShared and its sisters serve the document resource of leap-protocols.md
// 7.3 in the shared database.
func (s *Server) getShared(c *call) error {
	return c.document(s.stores.Shared.Get(c.Context(), c.name))
}

func (s *Server) putShared(c *call) error {
	return s.writeShared(c, func(stored *u1db.Document, oldRev string) (string, error) {
		content, err := c.content(maxShared)
		if err != nil {
			return "", err
		}
		err = mayPut(stored, oldRev)
		if err == nil && stored == nil && !s.created.Take(c.authenticated, time.Now()) {
			err = u1db.ErrUnavailable
		}
		return content, err
	})
}

func (s *Server) deleteShared(c *call) error {
	return s.writeShared(c, func(stored *u1db.Document, oldRev string) (string, error) {
		switch {
		case stored == nil:
			return "", u1db.ErrNoDocument
		case stored.Rev != oldRev:
			return "", u1db.ErrRevisionConflict
		case stored.Content == "":
			return "", u1db.ErrAlreadyDeleted
		}
		return "", nil
	})
}

// writeShared stores what judge returns over what is stored.
func (s *Server) writeShared(c *call, judge func(stored *u1db.Document, oldRev string) (content string, err error)) error {
	stored, err := find(s.stores.Shared.Get(c.Context(), c.name))
	if err != nil {
		return err
	}
	oldRev := c.URL.Query().Get("old_rev")
	content, err := judge(stored, oldRev)
	if err != nil {
		return err
	}
	rev, prev, err := next(stored, sharedReplica)
	if err != nil {
		return err
	}
	if err := s.stores.Shared.Put(c.Context(), u1db.Document{ID: c.name, Rev: rev, Content: content}, prev); err != nil {
		return refused(err)
	}
	return c.written(oldRev, rev)
}

// getKeyring and putKeyring serve the same resource for one document of the
// user's own database: client.md 4.4.
func (s *Server) getKeyring(c *call) error {
	db := s.stores.Open(c.user)
	if _, _, _, err := info(c.Context(), db); err != nil {
		return err
	}
	return c.document(db.Get(c.Context(), keyringID))
}

func (s *Server) putKeyring(c *call) error {
	content, err := c.content(maxKeyring)
	if err != nil {
		return err
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
	stored, err := find(db.Get(c.Context(), keyringID))
	if err != nil {
		return err
	}
	oldRev := c.URL.Query().Get("old_rev")
	if err := mayPut(stored, oldRev); err != nil {
		return err
	}
	rev, prev, err := next(stored, replica)
	if err != nil {
		return err
	}
	// Stored under a deadline of its own: half an answer helps nobody.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), storeTime)
	defer cancel()
	if err := s.admit(ctx, db, c.user, []change{{size(stored), len(content)}}); err != nil {
		return err
	}
	if _, err := db.Append(ctx, []u1db.Document{{ID: keyringID, Rev: rev, Content: content}}, []string{prev}); err != nil {
		return refused(err)
	}
	return c.written(oldRev, rev)
}

// find turns "no such document" into nil.
func find(d u1db.Document, err error) (*u1db.Document, error) {
	if errors.Is(err, problem.NotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// mayPut decides whether oldRev is the one to replace; a deleted document is
// replaced by not naming any.
func mayPut(stored *u1db.Document, oldRev string) error {
	switch {
	case stored == nil && oldRev == "", stored != nil && stored.Rev == oldRev:
		return nil
	case stored != nil && stored.Content == "" && oldRev == "":
		return nil
	}
	return u1db.ErrRevisionConflict
}

// next returns the revision of the version that replica puts over stored, and
// the stored one.
func next(stored *u1db.Document, replica string) (rev, prev string, err error) {
	var clock u1db.Revision
	if stored != nil {
		prev = stored.Rev
		if clock, err = u1db.ParseRevision(prev); err != nil {
			return "", "", problem.Internal.Errorf("a stored revision is malformed")
		}
	}
	return clock.Next(replica).String(), prev, nil
}

// refused gives the words for what a store refuses.
func refused(err error) error {
	switch {
	case errors.Is(err, problem.Stale):
		return u1db.ErrRevisionConflict
	case errors.Is(err, problem.Limit):
		return u1db.ErrDocumentTooBig
	}
	return err
}

// content reads a document from the request's body, on one line.
func (c *call) content(limit int64) (string, error) {
	data, err := c.read(limit)
	if err != nil {
		return "", err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil || line.Len() == 0 || line.Bytes()[0] != '{' {
		return "", u1db.ErrBadRequest
	}
	return line.String(), nil
}

// document answers with a document that was looked for.
func (c *call) document(d u1db.Document, err error) error {
	stored, err := find(d, err)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set(u1db.HeaderConflicts, "false")
	h.Set(u1db.HeaderRev, "")
	words := u1db.ErrNoDocument
	switch {
	case stored == nil:
	case stored.Content != "":
		h.Set(u1db.HeaderRev, stored.Rev)
		h.Set("Content-Type", "application/json")
		return c.octets(http.StatusOK, []byte(stored.Content))
	case c.URL.Query().Get("include_deleted") == "true":
		h.Set(u1db.HeaderRev, stored.Rev)
		words = u1db.ErrDeleted
	}
	h.Set("Content-Type", "application/json")
	return c.octets(words.Status, words.Body())
}

// written answers a write: 201 if no revision was named to replace.
func (c *call) written(oldRev, rev string) error {
	if oldRev == "" {
		return c.json(http.StatusCreated, u1db.DocResult{Rev: rev})
	}
	return c.json(http.StatusOK, u1db.DocResult{Rev: rev})
}
