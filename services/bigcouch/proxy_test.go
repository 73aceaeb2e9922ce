package bigcouch_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

func TestProxyAuth(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("between us\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, dir, func(c *bigcouch.Config) { c.ProxySecretFile = secret })
	token := func(f func() hash.Hash, name string) string {
		mac := hmac.New(f, []byte("between us"))
		mac.Write([]byte(name))
		return hex.EncodeToString(mac.Sum(nil))
	}
	handlers := `"info":{"authentication_handlers":["cookie","default","proxy"]`
	nobody := `{"ok":true,"userCtx":{"name":null,"roles":[]},` + handlers + `}}`
	ann := func(roles string) string {
		return `{"ok":true,"userCtx":{"name":"ann","roles":[` + roles + `]},` + handlers + `,"authenticated":"proxy"}}`
	}
	for _, tt := range []struct{ name, roles, token, want string }{
		{"ann", "a, b,,a", token(sha256.New, "ann"), ann(`"a","b"`)},
		{"ann", "", token(sha1.New, "ann"), ann("")},
		{"ann", "_admin,c", token(sha256.New, "ann"), ann(`"c"`)},
		{"ann", "a", token(sha256.New, "bob"), nobody},
		{"ann", "a", "", nobody},
		{"ann", "a", "zz", nobody},
		{"", "a", token(sha256.New, ""), nobody},
	} {
		a := n.do("", "GET", "/_session", "", "X-Auth-CouchDB-UserName: "+tt.name, "X-Auth-CouchDB-Roles: "+tt.roles, "X-Auth-CouchDB-Token: "+tt.token)
		if a.status != 200 || a.body != tt.want {
			t.Errorf("%+v: %d %s", tt, a.status, a.body)
		}
	}
	// The name of an administrator makes none.
	if a := n.do("", "GET", "/_all_dbs", "", "X-Auth-CouchDB-UserName: admin", "X-Auth-CouchDB-Roles: _admin", "X-Auth-CouchDB-Token: "+token(sha256.New, "admin")); a.status != 401 {
		t.Errorf("_all_dbs: %d %s", a.status, a.body)
	}
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "PUT", "/db/_security", `{"members":{"roles":["a"]}}`)
	if a := n.do("", "GET", "/db", "", "X-Auth-CouchDB-UserName: ann", "X-Auth-CouchDB-Roles: a", "X-Auth-CouchDB-Token: "+token(sha256.New, "ann")); a.status != 200 {
		t.Errorf("by role: %d %s", a.status, a.body)
	}
	off := start(t, t.TempDir())
	if a := off.do("", "GET", "/_session", "", "X-Auth-CouchDB-UserName: ann", "X-Auth-CouchDB-Token: "+token(sha256.New, "ann")); !strings.Contains(a.body, `"name":null`) {
		t.Errorf("without a secret: %s", a.body)
	}
}

// noRedirect makes the client show redirections and not follow them.
func noRedirect(n *node) {
	n.hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

func TestSessionNext(t *testing.T) {
	n := start(t, t.TempDir())
	noRedirect(n)
	login := `{"name":"webapp","password":"` + password + `"}`
	in := `{"ok":true,"name":"webapp","roles":["tokens","users"]}`
	badPath := `{"error":"bad_request","reason":"path must begin with a /."}`
	n.tell([]step{
		{"nobody", "GET", "/_session?basic=true", "", "", 401, `{"error":"unauthorized","reason":"Please login."}`},
		{"webapp", "GET", "/_session?basic=true", "", "", 200, `{"ok":true,"userCtx":{"name":"webapp","roles":["tokens","users"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"default"}}`},
		{"webapp", "GET", "/_session?basic=maybe", "", "", 400, `{"error":"query_parse_error","reason":"Invalid boolean parameter: \"maybe\""}`},
		{"nobody", "POST", "/_session?next=/db/x", login, "", 302, in},
		{"nobody", "POST", "/_session?next=https://evil.example.org", login, "", 400, badPath},
		{"nobody", "POST", "/_session?next=//evil.example.org", login, "", 302, in},
		{"nobody", "POST", "/_session?next=", login, "", 400, badPath},
		{"nobody", "POST", `/_session?next=/%5Cevil.example.org`, login, "", 400, badPath},
		{"nobody", "POST", "/_session?next=/x", `{"name":"webapp","password":"no"}`, "", 401, wrongPassword},
		{"nobody", "DELETE", "/_session?next=/x", "", "", 302, okBody},
		{"webapp", "POST", "/_session", "", "", 200, in},
		{"webapp", "POST", "/_session", `{}`, "", 400, `{"error":"bad_request","reason":"request body must contain a username"}`},
		{"webapp", "POST", "/_session", "ok=true", "Content-Type: application/x-www-form-urlencoded", 400, `{"error":"bad_request","reason":"request body must contain a username"}`},
		{"nobody", "POST", "/_session", "", "", 400, badJSON},
		{"nobody", "PUT", "/_session", "", "", 405, `{"error":"method_not_allowed","reason":"Only DELETE,GET,HEAD,POST allowed"}`},
	})
	if a := n.do("", "GET", "/_session?basic=true", ""); a.header.Get("WWW-Authenticate") != `Basic realm="server"` {
		t.Errorf("WWW-Authenticate = %q", a.header.Get("WWW-Authenticate"))
	}
	if got := n.do("", "POST", "/_session?next=//evil.example.org", login).header.Get("Location"); got != "/.//evil.example.org" {
		t.Errorf("Location %q leads to another server", got)
	}
	a := n.do("", "POST", "/_session?next=/db/x", login)
	if a.header.Get("Location") != "/db/x" || !strings.HasPrefix(a.header.Get("Set-Cookie"), "AuthSession=") {
		t.Errorf("Location %q, cookie %q", a.header.Get("Location"), a.header.Get("Set-Cookie"))
	}
	if a := n.do("", "POST", "/_session?next=/x", `{"name":"webapp","password":"no"}`); a.header.Get("Location") != "" {
		t.Errorf("a refused login goes on to %q", a.header.Get("Location"))
	}
	if a := n.do("webapp", "POST", "/_session", ""); !strings.HasPrefix(a.header.Get("Set-Cookie"), "AuthSession=") {
		t.Errorf("basic credentials give no session: %v", a.header)
	}
}
