package couch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Users is the database of accounts.
type Users struct{ db database }

// Users returns the store of accounts.
func (d *DB) Users() *Users { return &Users{d.in("users", "account")} }

// accountDoc is a User as it is stored: with the login in a form whose order all
// implementations agree on.
type accountDoc struct {
	record.User

	LoginKey string `json:"login_key"`
}

func newAccountDoc(u *record.User) accountDoc {
	doc := accountDoc{*u, hex.EncodeToString([]byte(u.Login))}
	doc.Type = "User"
	return doc
}

// Create stores a new account and sets its Rev; Exist when the id is used. The
// login is claimed by the account's identity, not here.
func (s *Users) Create(ctx context.Context, u *record.User) error {
	if _, err := userDB(u.ID); err != nil {
		return problem.Invalid.Errorf("malformed user id")
	}
	doc := newAccountDoc(u)
	doc.Rev = ""
	rev, err := s.db.create(ctx, u.ID, doc)
	if err != nil {
		return err
	}
	u.Type, u.Rev = doc.Type, rev
	return nil
}

// ByID returns an account; NotExist when there is none.
func (s *Users) ByID(ctx context.Context, id string) (*record.User, error) {
	if _, err := userDB(id); err != nil {
		return nil, problem.NotExist.Errorf("no such account")
	}
	u := new(record.User)
	if err := s.db.get(ctx, id, u); err != nil {
		return nil, err
	}
	return u, nil
}

// ByLogin returns the account of a login; NotExist when there is none.
func (s *Users) ByLogin(ctx context.Context, login string) (*record.User, error) {
	var list []*record.User
	q := query{Selector: map[string]any{"login": login}, Limit: 1}
	if err := s.db.find(ctx, q, "login", into(&list)); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, problem.NotExist.Errorf("no such account")
	}
	return list[0], nil
}

// Update stores an account that was read before and sets its Rev; Stale when it
// was changed since.
func (s *Users) Update(ctx context.Context, u *record.User) error {
	rev, err := s.db.update(ctx, u.ID, newAccountDoc(u))
	if err == nil {
		u.Rev = rev
	}
	return err
}

// Delete removes an account; NotExist when there is none.
func (s *Users) Delete(ctx context.Context, id string) error {
	for range maxAttempts {
		u, err := s.ByID(ctx, id)
		if err != nil {
			return err
		}
		if err := s.db.remove(ctx, id, u.Rev); problem.KindOf(err) != problem.Stale {
			return err
		}
	}
	return problem.Unavailable.Errorf("the account is being changed")
}

// Search returns up to limit logins that begin with prefix, sorted by bytes.
func (s *Users) Search(ctx context.Context, prefix string, limit int) ([]string, error) {
	from := hex.EncodeToString([]byte(prefix))
	q := query{
		Selector: map[string]any{"login_key": map[string]any{"$gte": from, "$lt": from + "g"}},
		Fields:   []string{"login"},
		Sort:     []map[string]string{{"login_key": "asc"}},
		Limit:    min(max(limit, 1), maxDocuments),
	}
	logins := []string{}
	err := s.db.find(ctx, q, "login_key", func(doc json.RawMessage) error {
		var u record.User
		err := json.Unmarshal(doc, &u)
		logins = append(logins, u.Login)
		return err
	})
	return logins, err
}

// IDs returns the ids of all accounts.
func (s *Users) IDs(ctx context.Context) ([]string, error) { return s.db.ids(ctx) }

// Follow calls f for each change of an account after the sequence since ("":
// from the beginning), in order and one at a time. It returns when ctx is done,
// f fails, or the database is away. A sequence that the database does not know
// counts as the beginning: a change may come twice, none is left out.
func (s *Users) Follow(ctx context.Context, since string, f func(id string, deleted bool, seq string) error) error {
	if since == "" {
		since = fromStart
	}
	for {
		rows, seq, err := s.db.changes(ctx, since)
		if err != nil {
			return err
		}
		for _, c := range rows {
			if strings.HasPrefix(c.id, "_design/") {
				continue
			}
			if err := f(c.id, c.deleted, c.seq); err != nil {
				return err
			}
		}
		since = seq
	}
}
