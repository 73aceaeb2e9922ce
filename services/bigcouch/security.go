package bigcouch

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"leap.example/services/bigcouch/store"
)

// defaultSecurity closes a new database to all but server administrators.
const defaultSecurity = `{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}`

// A security object says who may use a database.
type security struct{ Admins, Members party }

// A party is some accounts, by name or by role.
type party struct{ Names, Roles []string }

// parseSecurity reads a security object. Members that it does not know are
// legal and mean nothing.
func parseSecurity(data []byte) (security, error) {
	var s security
	if len(data) == 0 {
		data = []byte(defaultSecurity)
	}
	wrong := badRequest("Invalid security object: admins and members must be objects with lists of names and roles")
	m, err := exactly(data)
	if err != nil {
		return s, wrong
	}
	for member, p := range map[string]*party{"admins": &s.Admins, "members": &s.Members} {
		if m[member] == nil {
			continue
		}
		lists, err := exactly(m[member])
		if err != nil {
			return s, wrong
		}
		for list, to := range map[string]*[]string{"names": &p.Names, "roles": &p.Roles} {
			if lists[list] != nil && json.Unmarshal(lists[list], to) != nil {
				return s, wrong
			}
		}
	}
	return s, nil
}

// securities remembers what security objects say: each request needs one, and
// many databases have the same.
type securities struct {
	mu    sync.Mutex // Guards known.
	known map[string]security
}

// maxSecurities is how many are remembered, and maxKnown how long one of them
// may be.
const (
	maxSecurities = 1024
	maxKnown      = 4 << 10
)

// parse is parseSecurity. Nobody changes what it returns.
func (m *securities) parse(data []byte) (security, error) {
	m.mu.Lock()
	s, ok := m.known[string(data)]
	m.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := parseSecurity(data)
	if err != nil || len(data) > maxKnown {
		return s, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxSecurities {
		m.known = map[string]security{}
	}
	m.known[string(data)] = s
	return s, nil
}

func (s security) admin(u user) bool { return u.admin || u.is(s.Admins.Names, s.Admins.Roles) }

// member reports whether u may read and write. A database without members is
// open to everybody, as in CouchDB.
func (s security) member(u user) bool {
	open := len(s.Members.Names) == 0 && len(s.Members.Roles) == 0
	return open || s.admin(u) || u.is(s.Members.Names, s.Members.Roles)
}

// wantAdmin refuses all but server administrators.
func (c *call) wantAdmin() error {
	if !c.user.admin {
		return unauthorized("You are not a server admin.")
	}
	return nil
}

// openDatabase finds the database of the path and checks that the user is a
// member.
func (c *call) openDatabase() error {
	db, err := c.database(c.path[0])
	if errors.Is(err, store.ErrNoDatabase) && strings.HasPrefix(c.path[0], "_") && !c.user.admin {
		// What is below the root and begins with _ is for administrators.
		return unauthorized("You are not a server admin.")
	}
	if err != nil {
		return err
	}
	c.db = db
	if err := c.openPart(); err != nil {
		return err
	}
	s, err := c.securities.parse(db.Security)
	if err != nil {
		return err
	}
	switch {
	case s.member(c.user):
		if err := c.guardReplicatorDatabase(); err != nil {
			return err
		}
		return c.guardUsersDatabase()
	case c.user.Name == "":
		return unauthorized("You are not authorized to access this db.")
	}
	return forbidden("You are not allowed to access this db.")
}

// database finds a live database.
func (c *call) database(name string) (*store.Database, error) {
	db, err := c.store.Database(name)
	if err == nil && (db == nil || db.State != store.Live) {
		err = store.ErrNoDatabase
	}
	return db, err
}

// guardUsersDatabase keeps members of _users to single documents.
func (c *call) guardUsersDatabase() error {
	if c.db.Name != usersDatabase || c.user.admin || len(c.path) < 2 && c.r.Method != http.MethodPost {
		return nil
	}
	if len(c.path) >= 2 && (c.path[1] == "_local" || resources[c.path[1]] != nil) {
		return forbidden("Only admins can access " + c.path[1] + " of system databases.")
	}
	return nil
}

// wantDatabaseAdmin refuses all but administrators of the database.
func (c *call) wantDatabaseAdmin() error {
	s, err := c.securities.parse(c.db.Security)
	if err == nil && !s.admin(c.user) {
		err = forbidden("You are not a db or server admin.")
	}
	return err
}

func (c *call) getSecurity() error {
	data := c.db.Security
	if len(data) == 0 {
		data = []byte(defaultSecurity)
	}
	c.replyRaw(http.StatusOK, data)
	return nil
}

func (c *call) putSecurity() error {
	if err := c.ensureDatabaseAdmin(); err != nil {
		return err
	}
	data, err := c.readJSON()
	if err != nil {
		return err
	}
	if _, err := parseSecurity(data); err != nil {
		return err
	}
	return c.changeCatalogue(store.SetSecurity{Name: c.db.Name, DB: c.db.ID, Security: data})
}
