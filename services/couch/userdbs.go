package couch

import (
	"context"
	"crypto/rand"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// UserDBs are the databases of users, one each.
type UserDBs struct{ db *DB }

// UserDBs returns the databases of users.
func (d *DB) UserDBs() *UserDBs { return &UserDBs{d} }

// Create makes a user's database, secures it, and gives it a replica uid. It
// may be repeated. The account must be a server administrator.
func (s *UserDBs) Create(ctx context.Context, userID string) error {
	name, err := userDB(userID)
	if err != nil {
		return problem.Invalid.Errorf("malformed user id")
	}
	if err := s.db.build(ctx, name, userLayout()); err != nil {
		return err
	}
	_, err = s.Open(userID).config(ctx)
	return err
}

// Destroy deletes a user's database with all that is in it; one that is not
// there is destroyed. The account must be a server administrator.
func (s *UserDBs) Destroy(ctx context.Context, userID string) error {
	name, err := userDB(userID)
	if err != nil {
		return nil // No such database can exist.
	}
	return s.db.drop(ctx, name)
}

// IDs returns the users that have a database.
func (s *UserDBs) IDs(ctx context.Context) ([]string, error) {
	all, err := s.db.databases(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range all {
		id, ok := strings.CutPrefix(name, userDBPrefix)
		if back, err := userDB(id); ok && err == nil && back == name {
			out = append(out, id)
		}
	}
	return out, nil
}

// Check secures an existing database again and repairs its configuration;
// NotExist when there is none.
func (s *UserDBs) Check(ctx context.Context, userID string) error {
	name, err := userDB(userID)
	if err != nil {
		return err
	}
	if err := s.db.in(name, "user database").secure(ctx, userLayout().members); err != nil {
		return err
	}
	_, err = s.Open(userID).config(ctx)
	return err
}

// Open returns a user's database, without asking whether it is there: if it is
// not, all methods return NotExist. The methods may be called from any
// goroutine, Wait from one at a time.
func (s *UserDBs) Open(userID string) *UserDB {
	name, err := userDB(userID)
	return &UserDB{db: s.db.in(name, "document"), err: err}
}

// configDoc is _local/config. What it says of the log is a hint that saves
// work: all generations up to Gen are settled.
type configDoc struct {
	Rev     string `json:"_rev,omitempty"`
	Replica string `json:"replica_uid"`
	Schema  int    `json:"schema_version"`
	Gen     int    `json:"gen"`
	TransID string `json:"trans_id"`
}

const (
	configID  = "_local/config"
	replicaID = "replica"
	schema    = 1
)

// config returns the configuration, and makes it if it is not there: by a
// crash of Create, or since _local documents do not survive a restored backup.
// The replica uid is claimed by a document.
func (u *UserDB) config(ctx context.Context) (configDoc, error) {
	var c configDoc
	if u.err != nil {
		return c, u.err
	}
	err := u.db.get(ctx, configID, &c)
	if problem.KindOf(err) != problem.NotExist {
		if err == nil && c.Schema != schema {
			err = problem.Internal.Errorf("user database of schema %d, not %d", c.Schema, schema)
		}
		return c, err
	}
	uid, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		return c, err
	}
	claim := replicaDoc{Replica: uid, Schema: schema}
	_, err = u.db.create(ctx, replicaID, claim)
	if problem.KindOf(err) == problem.Exist {
		err = u.db.get(ctx, replicaID, &claim)
	}
	if err != nil {
		return c, err
	}
	c = configDoc{Replica: claim.Replica, Schema: claim.Schema}
	c.Rev, err = u.db.put(ctx, configID, c)
	if problem.KindOf(err) == problem.Stale {
		err = u.db.get(ctx, configID, &c)
	}
	return c, err
}

// replicaDoc claims the replica uid of a database.
type replicaDoc struct {
	Rev     string `json:"_rev,omitempty"`
	Replica string `json:"replica_uid"`
	Schema  int    `json:"schema_version"`
}
