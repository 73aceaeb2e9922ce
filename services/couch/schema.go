package couch

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-kivik/kivik/v4"
)

// Accounts returns the accounts of the provider's services and their roles
// (leap-protocols.md 5.1), as security objects name them. "admin" and
// "tapicero" have to be server administrators.
func Accounts() map[string][]string {
	return map[string][]string{
		"admin":      nil,
		"tapicero":   nil,
		"webapp":     {"tokens", "identities", "users"},
		"ca":         nil,
		"nickserver": {"identities", "keycache"},
		"soledad":    {"tokens"},
		"leap_mx":    {"identities"},
		"relay":      {"tokens", "identities"},
		"agent":      nil,
	}
}

// members are who may open a database, but for server administrators, who may
// open all and are the only ones to change indexes.
type members struct{ names, roles []string }

// A layout is a database of the provider as it shall be.
type layout struct {
	members members
	indexes map[string][]string // Name to fields.
}

// replication is the role under which an operator copies databases out.
const replication = "replication"

func role(name string) members { return members{roles: []string{name, replication}} }

func names(list ...string) members { return members{names: list, roles: []string{replication}} }

// layouts are the databases that are always there.
func layouts() map[string]layout {
	return map[string]layout{
		"users":        {role("users"), map[string][]string{"login": {"login"}, "login_key": {"login_key"}}},
		"identities":   {role("identities"), map[string][]string{"user": {"user_id"}, "wkd": {"wkd"}, "fingerprint": {"fingerprint"}, "key": {"key_id"}}},
		"tickets":      {names("webapp"), nil},
		"messages":     {names("webapp"), nil},
		"invite_codes": {names("webapp"), nil},
		"customers":    {names("webapp"), nil},
		"keycache":     {role("keycache"), nil},
		"client_certificates": {names("webapp", "ca"), map[string][]string{
			"pool": {"type", "taken_by"}, "requests": {"type", "answered"},
		}},
		"nodes":    {names("agent"), nil},
		"shared":   {names("soledad"), nil},
		"outbound": {names("relay"), map[string][]string{"due": {"type", "due"}, "message": {"message"}}},
	}
}

// rotated are the databases that are replaced every period.
func rotated() map[string]layout {
	return map[string]layout{
		"tokens":   {role("tokens"), map[string][]string{"user": {"user_id"}, "seen": {"seen"}}},
		"sessions": {names("webapp"), map[string][]string{"expires": {"expires"}}},
	}
}

// userLayout is that of the databases of users.
func userLayout() layout { return layout{members{names: []string{"soledad", "leap_mx"}}, nil} }

// indexDoc is the name of the design document of an index, without "_design/".
func indexDoc(index string) string { return "leap-" + index }

// build creates a database and brings it to its layout. It writes only what
// differs, and may run in several processes at once.
func (d *DB) build(ctx context.Context, name string, l layout) error {
	err := attempts(ctx, func(ctx context.Context, _ bool) error {
		err := d.client.CreateDB(ctx, name, d.placement(name))
		if isStatus(err, http.StatusPreconditionFailed) {
			return nil
		}
		return err
	})
	if err != nil {
		return failed("creating "+title(name), "database", err)
	}
	db := d.in(name, title(name))
	if err := db.secure(ctx, l.members); err != nil {
		return err
	}
	if len(l.indexes) == 0 {
		return nil
	}
	return db.index(ctx, l.indexes)
}

// placement is what a new database is made with. One of a user is small.
func (d *DB) placement(name string) kivik.Option {
	params := map[string]any{}
	if d.q > 0 && !strings.HasPrefix(name, userDBPrefix) {
		params["q"] = d.q
	}
	if d.n > 0 {
		params["n"] = d.n
	}
	return kivik.Params(params)
}

// title names a database in errors: of users, without saying of whom.
func title(name string) string {
	if strings.HasPrefix(name, userDBPrefix) {
		return "user database"
	}
	return "database " + name
}

// secure writes the security object if it differs, also when another process is
// about to do the same: some databases then answer one of them with a conflict.
func (d database) secure(ctx context.Context, m members) (err error) {
	want := &kivik.Security{
		Admins:  kivik.Members{Roles: []string{"_admin"}},
		Members: kivik.Members{Names: m.names, Roles: m.roles},
	}
	for range maxAttempts {
		var same bool
		if same, err = d.secured(ctx, m); err != nil || same {
			return err
		}
		err = attempts(ctx, func(ctx context.Context, _ bool) error { return d.kivik.SetSecurity(ctx, want) })
		if !isStatus(err, http.StatusConflict) {
			break
		}
	}
	return d.failed("securing", err)
}

// secured reports whether the security object is what it shall be.
func (d database) secured(ctx context.Context, m members) (bool, error) {
	var have *kivik.Security
	err := read(ctx, func(ctx context.Context) (err error) {
		have, err = d.kivik.Security(ctx)
		return err
	})
	if err != nil {
		return false, d.failed("reading the security object of", err)
	}
	return len(have.Admins.Names) == 0 && slices.Equal(have.Admins.Roles, []string{"_admin"}) &&
		slices.Equal(have.Members.Names, m.names) && slices.Equal(have.Members.Roles, m.roles), nil
}

// index creates the indexes that are missing or of another definition.
func (d database) index(ctx context.Context, indexes map[string][]string) error {
	var have []kivik.Index
	err := read(ctx, func(ctx context.Context) (err error) {
		have, err = d.kivik.GetIndexes(ctx)
		return err
	})
	if err != nil {
		return d.failed("reading the indexes of", err)
	}
	for name, fields := range indexes {
		if slices.ContainsFunc(have, func(x kivik.Index) bool { return is(x, name, fields) }) {
			continue
		}
		err := attempts(ctx, func(ctx context.Context, _ bool) error {
			return d.kivik.CreateIndex(ctx, indexDoc(name), name, map[string]any{"fields": fields})
		})
		if err != nil {
			return d.failed("creating index "+name+" of", err)
		}
	}
	return nil
}

// is reports whether x is the index name over fields.
func is(x kivik.Index, name string, fields []string) bool {
	raw, err := json.Marshal(x.Definition)
	var def struct {
		Fields []map[string]string `json:"fields"`
	}
	if err != nil || json.Unmarshal(raw, &def) != nil || x.Name != name || len(def.Fields) != len(fields) {
		return false
	}
	for i, f := range fields {
		if def.Fields[i][f] != "asc" {
			return false
		}
	}
	return true
}
