package couch

import (
	"context"
	"errors"
	"time"

	"leap.example/services/protocol/problem"
)

// Sessions are the databases of what is kept between two requests.
type Sessions struct{ db *DB }

// Sessions returns the store of sessions.
func (d *DB) Sessions() *Sessions { return &Sessions{d} }

type sessionDoc struct {
	ID      string `json:"_id"` // Hash of the session's id.
	Rev     string `json:"_rev,omitempty"`
	Type    string `json:"type"` // "Session".
	Data    []byte `json:"data"`
	Expires int64  `json:"expires"`            // Unix time, seconds.
	TakenBy string `json:"taken_by,omitempty"` // Of the one that took it.
}

// Put stores data under a new id, which is a secret; Exist when it is used.
func (s *Sessions) Put(ctx context.Context, id string, data []byte, expires time.Time) error {
	doc := sessionDoc{ID: hashID(id), Type: "Session", Data: data, Expires: expires.Unix()}
	_, err := s.db.rotating("sessions", "session")[0].create(ctx, doc.ID, doc)
	return err
}

// Take returns the data of a session and forgets it: of two callers one gets
// it. The other, and who comes too late, gets NotExist. When the answer of the
// database is lost, the session is.
func (s *Sessions) Take(ctx context.Context, id string) ([]byte, error) {
	for i, db := range s.db.rotating("sessions", "session") {
		var doc sessionDoc
		err := db.get(ctx, hashID(id), &doc)
		if problem.KindOf(err) == problem.NotExist || i > 0 && errors.Is(err, errNoDatabase) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if doc.TakenBy != "" || s.db.now().Unix() >= doc.Expires {
			break
		}
		data := doc.Data
		doc.TakenBy, doc.Data = randomHex(16), nil
		rev, err := db.update(ctx, doc.ID, doc)
		if problem.KindOf(err) == problem.Stale {
			break
		}
		if err != nil {
			return nil, err
		}
		// What is taken stays taken, whether or not this succeeds: what is left
		// is removed when it has expired.
		_ = db.remove(ctx, doc.ID, rev)
		return data, nil
	}
	return nil, problem.NotExist.Errorf("no such session")
}
