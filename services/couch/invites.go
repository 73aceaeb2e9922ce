package couch

import (
	"context"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Invites is the database of invite codes.
type Invites struct{ db database }

// Invites returns the store of invite codes.
func (d *DB) Invites() *Invites { return &Invites{d.in("invite_codes", "invite code")} }

// Create stores a code for maxUses sign-ups until it expires, if ever; Exist when
// there is one.
func (s *Invites) Create(ctx context.Context, code string, maxUses int, expires time.Time) error {
	if !safeID(code) || maxUses < 1 {
		return problem.Invalid.Errorf("malformed invite code")
	}
	_, err := s.db.create(ctx, code, record.InviteCode{
		ID: code, Type: "InviteCode", Code: code, MaxUses: maxUses, CreatedAt: s.db.db.now().UTC().Truncate(time.Second),
		ExpiresAt: expires,
	})
	return err
}

// Use counts one use of a code; NotExist when it is unknown or has expired, Limit
// when it is used up. Of several callers no more than its uses succeed.
func (s *Invites) Use(ctx context.Context, code string) error {
	if !safeID(code) {
		return problem.NotExist.Errorf("no such invite code")
	}
	for range maxContenders {
		var doc record.InviteCode
		if err := s.db.get(ctx, code, &doc); err != nil {
			return err
		}
		if !doc.ExpiresAt.IsZero() && !s.db.db.now().Before(doc.ExpiresAt) {
			return problem.NotExist.Errorf("the invite code has expired")
		}
		if doc.Count >= doc.MaxUses {
			return problem.Limit.Errorf("the invite code is used up")
		}
		doc.Count++
		if _, err := s.db.update(ctx, code, doc); problem.KindOf(err) != problem.Stale {
			return err
		}
	}
	return problem.Unavailable.Errorf("too many use this invite code at once")
}

// maxContenders is how often a change is tried again that others forestalled.
const maxContenders = 20
