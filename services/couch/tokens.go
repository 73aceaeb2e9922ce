package couch

import (
	"context"
	"errors"
	"time"

	"github.com/go-kivik/kivik/v4"

	"leap.example/services/protocol/problem"
)

// A token is forgotten when it was not used for tokenIdle; a use is noted at
// most every tokenTouch (leap-protocols.md 1.7).
const (
	tokenIdle  = time.Hour
	tokenTouch = time.Minute
)

// Tokens are the databases of bearer tokens. They hold hashes of tokens only.
type Tokens struct{ db *DB }

// Tokens returns the store of bearer tokens.
func (d *DB) Tokens() *Tokens { return &Tokens{d} }

type tokenDoc struct {
	ID       string    `json:"_id"` // Hash of the token.
	Rev      string    `json:"_rev,omitempty"`
	Type     string    `json:"type"` // "Token".
	UserID   string    `json:"user_id"`
	LastSeen time.Time `json:"last_seen_at"`
	Seen     int64     `json:"seen"` // The same in seconds, for the index.
}

func newTokenDoc(id, userID string, now time.Time) tokenDoc {
	return tokenDoc{ID: id, Type: "Token", UserID: userID, LastSeen: now.UTC().Truncate(time.Second), Seen: now.Unix()}
}

// Create stores a token of a user.
func (s *Tokens) Create(ctx context.Context, token, userID string) error {
	id := hashID(token)
	_, err := s.databases()[0].create(ctx, id, newTokenDoc(id, userID, s.db.now()))
	return err
}

// User returns whose token it is, and counts as a use; Unauthenticated when it
// is unknown or was idle for an hour.
func (s *Tokens) User(ctx context.Context, token string) (userID string, err error) {
	id, dbs, now := hashID(token), s.databases(), s.db.now()
	for i, db := range dbs {
		var doc tokenDoc
		switch err := db.get(ctx, id, &doc); {
		case problem.KindOf(err) == problem.NotExist, i > 0 && errors.Is(err, errNoDatabase):
			continue
		case err != nil:
			return "", err
		}
		idle := now.Sub(time.Unix(doc.Seen, 0))
		if idle >= tokenIdle {
			break
		}
		if idle >= tokenTouch || i > 0 {
			s.touch(ctx, dbs[0], db, doc)
		}
		return doc.UserID, nil
	}
	return "", problem.Unauthenticated.Errorf("log in first")
}

// touch notes a use, and moves a token from the former database to the present
// one. When it cannot, the token is as good as before; of uses at the same time
// one is noted. A token that was forgotten while it moved is forgotten: forget
// looks into the former database first, so that either it still finds the new
// document or the former one is gone when that was stored.
func (s *Tokens) touch(ctx context.Context, present, holds database, old tokenDoc) {
	doc := newTokenDoc(old.ID, old.UserID, s.db.now())
	if present.name == holds.name {
		doc.Rev = old.Rev
	}
	rev, err := present.update(ctx, doc.ID, doc)
	if err != nil || present.name == holds.name {
		return
	}
	ctx = context.WithoutCancel(ctx)
	err = holds.get(ctx, old.ID, new(meta), kivik.Param("r", readFresh))
	if err != nil && !errors.Is(err, errNoDatabase) { // Where it cannot be seen, the former one is as good.
		_ = present.remove(ctx, doc.ID, rev)
	}
}

// Delete forgets a token; one that is unknown is forgotten.
func (s *Tokens) Delete(ctx context.Context, token string) error {
	return s.forget(ctx, hashID(token))
}

// DeleteUser forgets all tokens of a user.
func (s *Tokens) DeleteUser(ctx context.Context, userID string) error {
	for i, db := range s.databases() {
		q := query{Selector: map[string]any{"user_id": userID}, Fields: []string{"_id"}, Limit: maxPerUser}
		for {
			var list []meta
			err := db.find(ctx, q, "user", into(&list))
			if i > 0 && errors.Is(err, errNoDatabase) {
				break
			}
			if err != nil {
				return err
			}
			for _, m := range list {
				if err := s.forget(ctx, m.ID); err != nil {
					return err
				}
			}
			if len(list) < maxPerUser {
				break
			}
		}
	}
	return nil
}

// forget removes a token from where it is: from the former database first,
// since a use moves it from there to the present one.
func (s *Tokens) forget(ctx context.Context, id string) error {
	dbs := s.databases()
	for i := len(dbs) - 1; i >= 0; i-- {
		err := dbs[i].erase(ctx, id)
		if err != nil && !(i > 0 && errors.Is(err, errNoDatabase)) {
			return err
		}
	}
	return nil
}

// erase removes a document in whatever revision it is.
func (d database) erase(ctx context.Context, id string) error {
	for range maxAttempts {
		var m meta
		err := d.get(ctx, id, &m)
		if err == nil {
			err = d.remove(ctx, id, m.Rev)
		}
		switch problem.KindOf(err) {
		case problem.NotExist:
			return nil
		case problem.Stale:
			continue
		}
		return err
	}
	return problem.Unavailable.Errorf("%s is being changed", d.noun)
}

func (s *Tokens) databases() []database { return s.db.rotating("tokens", "token") }
