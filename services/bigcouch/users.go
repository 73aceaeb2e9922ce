package bigcouch

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"slices"
	"strings"
)

// The database of accounts that are not in Config.
const (
	usersDatabase = "_users"
	usersPrefix   = "org.couchdb.user:"
)

// Rounds of PBKDF2: those of new passwords, and the most that are believed.
const (
	iterations    = 600_000
	maxIterations = 2_000_000
)

// credentials are what a document of _users says about an account.
type credentials struct {
	user        user
	fingerprint [32]byte
	salt        []byte
	derived     []byte
	iterations  int
	hash        func() hash.Hash
}

// check derives a key from the password and compares.
func (c credentials) check(password string) bool {
	key, err := pbkdf2.Key(c.hash, password, c.salt, c.iterations, len(c.derived))
	return err == nil && hmac.Equal(key, c.derived)
}

// credentials reads the document of an account. An account that is not there,
// or has no usable password, is errPassword.
func (c *call) credentials(name string) (credentials, error) {
	v := c.view()
	defer v.Close()
	db, err := v.Database(usersDatabase)
	if err != nil || db == nil {
		return credentials{}, orPassword(err)
	}
	d, err := v.Document(db, usersPrefix+name)
	if err != nil || d == nil || d.Deleted {
		return credentials{}, orPassword(err)
	}
	body, err := v.Body(db, d, d.Rev)
	if err != nil {
		return credentials{}, err
	}
	m, err := exactly(body.JSON)
	if err != nil {
		return credentials{}, err
	}
	var doc struct {
		name, scheme, prf, salt, derived string
		roles                            []string
		iterations                       int
	}
	for member, to := range map[string]any{
		"name": &doc.name, "password_scheme": &doc.scheme, "pbkdf2_prf": &doc.prf, "salt": &doc.salt,
		"derived_key": &doc.derived, "roles": &doc.roles, "iterations": &doc.iterations,
	} {
		if m[member] != nil && json.Unmarshal(m[member], to) != nil {
			return credentials{}, errPassword
		}
	}
	if doc.name != name || doc.scheme != "pbkdf2" {
		return credentials{}, errPassword
	}
	cred := credentials{
		user: user{Name: name, Roles: slices.DeleteFunc(doc.roles, systemRole)}, salt: []byte(doc.salt),
		iterations: doc.iterations, hash: sha1.New, fingerprint: sha256.Sum256([]byte(doc.salt + ":" + doc.derived)),
	}
	if doc.prf == "sha256" {
		cred.hash = sha256.New
	}
	cred.derived, err = hex.DecodeString(doc.derived)
	if err != nil || len(cred.derived) < 16 || doc.iterations < 1 || doc.iterations > maxIterations {
		return credentials{}, errPassword
	}
	return cred, nil
}

func systemRole(role string) bool { return strings.HasPrefix(role, "_") }

// exactly decodes an object by the exact names of its members; encoding/json
// takes "Roles" for "roles" when it fills a struct.
func exactly(data []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil || m == nil {
		return nil, errNotObject
	}
	return m, nil
}

func orPassword(err error) error {
	if err != nil {
		return err
	}
	return errPassword
}

// mayWrite checks what is special about some documents: design documents
// belong to administrators, and documents of _users hide passwords.
func (c *call) mayWrite(d *document) error {
	if isDesign(d.id) {
		return c.wantDatabaseAdmin()
	}
	if c.db.Name == replicatorDatabase {
		return c.mayReplicate(d)
	}
	if c.db.Name != usersDatabase || d.deleted {
		return nil
	}
	var old []string // Roles that the account has already.
	if !c.user.admin {
		cred, err := c.credentials(strings.TrimPrefix(d.id, usersPrefix))
		if err != nil && err != errPassword {
			return err
		}
		old = cred.user.Roles
	}
	return hidePassword(d, c.user.admin, old)
}

// hidePassword checks a document of _users and replaces its password by a key
// that is derived from it. Only an administrator may change roles.
func hidePassword(d *document, admin bool, old []string) error {
	m, err := exactly(d.body)
	if err != nil {
		return err
	}
	var kind, name string
	var roles []string
	var password *string
	for member, to := range map[string]any{"type": &kind, "name": &name, "roles": &roles, "password": &password} {
		if m[member] != nil && json.Unmarshal(m[member], to) != nil {
			return forbidden("doc." + member + " has the wrong type")
		}
	}
	switch {
	case kind != "user":
		return forbidden("doc.type must be user")
	case d.id != usersPrefix+name || name == "":
		return forbidden("Doc ID must be of the form " + usersPrefix + "name")
	case roles == nil:
		return forbidden("doc.roles must exist")
	case slices.ContainsFunc(roles, systemRole):
		return forbidden("No system roles (starting with underscore) in users db.")
	case !admin && !slices.Equal(roles, old) && len(roles)+len(old) > 0:
		return forbidden("Only _admin may set roles")
	case password == nil:
		return nil
	}
	var random [16]byte
	rand.Read(random[:])
	salt := hex.EncodeToString(random[:])
	key, err := pbkdf2.Key(sha256.New, *password, []byte(salt), iterations, 32)
	if err != nil {
		return err
	}
	delete(m, "password")
	for name, value := range map[string]any{
		"password_scheme": "pbkdf2", "pbkdf2_prf": "sha256", "salt": salt, "iterations": iterations, "derived_key": hex.EncodeToString(key),
	} {
		if m[name], err = json.Marshal(value); err != nil {
			return err
		}
	}
	d.body, err = json.Marshal(m)
	return err
}

// guardUsers hides the documents of _users from all but administrators and the
// account itself.
func (c *call) guardUsers(id string) error {
	if c.db.Name != usersDatabase || c.user.admin || c.user.Name != "" && id == usersPrefix+c.user.Name {
		return nil
	}
	return notFound("missing")
}
