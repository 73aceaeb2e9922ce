package bigcouch_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/services/bigcouch"
)

const (
	wrongPassword = `{"error":"unauthorized","reason":"Name or password is incorrect."}`
	notYou        = `{"error":"forbidden","reason":"You are not allowed to access this db."}`
	whoAreYou     = `{"error":"unauthorized","reason":"You are not authorized to access this db."}`
	notDBAdmin    = `{"error":"forbidden","reason":"You are not a db or server admin."}`
)

func TestSecurity(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	malformed := `{"error":"bad_request","reason":"Invalid security object: admins and members must be objects with lists of names and roles"}`
	byName := `{"admins":{"names":[],"roles":[]},"members":{"names":["webapp"],"roles":[]},"note":1}`
	n.tell([]step{
		{"", "GET", "/db/_security", "", "", 200, `{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}`},
		{"webapp", "GET", "/db", "", "", 403, notYou},
		{"webapp", "PUT", "/db/a", `{}`, "", 403, notYou},
		{"nobody", "GET", "/db", "", "", 401, whoAreYou},
		{"nobody", "PUT", "/db/_security", `{}`, "", 401, whoAreYou},
		{"", "PUT", "/db/_security", `[]`, "", 400, malformed},
		{"", "PUT", "/db/_security", `{"members":[]}`, "", 400, malformed},
		{"", "PUT", "/db/_security", `{"members":{"names":"x"}}`, "", 400, malformed},
		{"", "PUT", "/db/_security", `{"admins":{"roles":[1]}}`, "", 400, malformed},
		{"", "PUT", "/db/_security", byName, "", 200, okBody},
		{"", "GET", "/db/_security", "", "", 200, byName},
		{"webapp", "GET", "/db/_security", "", "", 200, byName},
		{"webapp", "PUT", "/db/_security", byName, "", 401, `{"error":"unauthorized","reason":"You are not a db or server admin."}`},
		{"webapp", "PUT", "/db/a", `{}`, "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"webapp", "PUT", "/db/_design/d", `{}`, "", 403, notDBAdmin},
		{"webapp", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"_design/d"},{"_id":"b"}]}`, "", 201, `[{"id":"_design/d","error":"forbidden","reason":"You are not a db or server admin."},{"ok":true,"id":"b","rev":"1-x"}]`},
		{"webapp", "PUT", "/db/_design/d/att", `x`, "", 403, notDBAdmin},
		{"webapp", "POST", "/db/_index", `{"index":{"fields":["a"]}}`, "", 403, notDBAdmin},
		{"webapp", "DELETE", "/db/_index/x/json/y", ``, "", 403, notDBAdmin},
		{"stranger", "GET", "/db/a", "", "", 403, notYou},
		{"nobody", "GET", "/db/a", "", "", 401, whoAreYou},
		{"", "PUT", "/db/_security", `{"members":{"roles":["tokens"]}}`, "", 200, okBody},
		{"webapp", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x"}`},
		{"stranger", "GET", "/db/a", "", "", 403, notYou},
		{"", "PUT", "/db/_security", `{"members":{"names":["x"]},"admins":{"names":["webapp"]}}`, "", 200, okBody},
		{"webapp", "PUT", "/db/_design/d", `{}`, "", 201, `{"ok":true,"id":"_design/d","rev":"1-x"}`},
		{"webapp", "PUT", "/db/_security", `{"Members":{"names":["y"]},"members":{"names":["x"]},"admins":{"names":["webapp"]}}`, "", 200, okBody},
		{"webapp", "DELETE", "/db", ``, "", 401, notAdmin},
		{"", "PUT", "/db/_security", `{}`, "", 200, okBody},
		{"nobody", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x"}`},
	})
}

func TestBasicAuth(t *testing.T) {
	n := start(t, t.TempDir())
	for _, name := range []string{"admin", "nobody-we-know", ""} {
		req, err := http.NewRequest("GET", n.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(name, "wrong")
		resp, err := n.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Errorf("%q with a wrong password: %d", name, resp.StatusCode)
		}
	}
	n.tell([]step{
		{"nobody", "GET", "/", "", "Authorization: Bearer x", 401, `{"error":"unauthorized","reason":"Only basic and cookie authentication are offered."}`},
		{"nobody", "GET", "/_session", "", "", 200, `{"ok":true,"userCtx":{"name":null,"roles":[]},"info":{"authentication_handlers":["cookie","default"]}}`},
		{"", "GET", "/_session", "", "", 200, `{"ok":true,"userCtx":{"name":"admin","roles":["_admin"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"default"}}`},
		{"webapp", "GET", "/_session", "", "", 200, `{"ok":true,"userCtx":{"name":"webapp","roles":["tokens","users"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"default"}}`},
	})
}

func TestSession(t *testing.T) {
	n := start(t, t.TempDir())
	n.tell([]step{
		{"nobody", "POST", "/_session", `{"name":"webapp","password":"wrong"}`, "", 401, wrongPassword},
		{"nobody", "POST", "/_session", `{"name":"none","password":"wrong"}`, "", 401, wrongPassword},
		{"nobody", "POST", "/_session", `{`, "", 400, badJSON},
		{"nobody", "POST", "/_session", `x`, "Content-Type: text/plain", 415, notJSON},
		{"nobody", "POST", "/_session", `{"x":"` + strings.Repeat("x", 70_000) + `"}`, "", 413, `{"error":"too_large","reason":"the request entity is too large"}`},
		{"nobody", "GET", "/", "", "Cookie: AuthSession=nonsense", 400, `{"error":"bad_request","reason":"Malformed AuthSession cookie. Please clear your cookies."}`},
		{"nobody", "GET", "/", "", "Cookie: AuthSession=!", 400, `{"error":"bad_request","reason":"Malformed AuthSession cookie. Please clear your cookies."}`},
	})
	form := url.Values{"name": {"webapp"}, "password": {password}}.Encode()
	a := n.do("", "POST", "/_session", form, "Content-Type: application/x-www-form-urlencoded")
	if a.status != 200 || a.body != `{"ok":true,"name":"webapp","roles":["tokens","users"]}` {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	cookie := a.header.Get("Set-Cookie")
	for _, attribute := range []string{"AuthSession=", "Max-Age=600", "HttpOnly", "Path=/"} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("cookie %q has no %s", cookie, attribute)
		}
	}
	session, _, _ := strings.Cut(cookie, ";")
	n.tell([]step{
		{"nobody", "GET", "/_session", "", "Cookie: " + session, 200, `{"ok":true,"userCtx":{"name":"webapp","roles":["tokens","users"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"cookie"}}`},
		{"nobody", "GET", "/_all_dbs", "", "Cookie: " + session, 401, notAdmin},
		{"nobody", "DELETE", "/_session", "", "Cookie: " + session, 200, okBody},
	})
	value := strings.TrimPrefix(session, "AuthSession=")
	forged := "AuthSession=" + value[:len(value)-2] + "AA"
	if a := n.do("", "GET", "/_session", "", "Cookie: "+forged); !strings.Contains(a.body, `"name":null`) && a.status != 400 {
		t.Errorf("forged cookie: %d %s", a.status, a.body)
	}
}

func TestUsers(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/_users", "")
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "PUT", "/db/_security", `{"members":{"roles":["crew"]}}`)
	n.admin(200, "PUT", "/_users/_security", `{}`)
	user := "/_users/org.couchdb.user:ann"
	refused := func(reason string) string { return `{"error":"forbidden","reason":"` + reason + `"}` }
	n.tell([]step{
		{"", "PUT", user, `{"name":"ann","roles":[]}`, "", 403, refused("doc.type must be user")},
		{"", "PUT", user, `{"type":"user","name":"bob","roles":[]}`, "", 403, refused("Doc ID must be of the form org.couchdb.user:name")},
		{"", "PUT", user, `{"type":"user","name":"ann"}`, "", 403, refused("doc.roles must exist")},
		{"", "PUT", user, `{"type":"user","name":"ann","roles":["_admin"]}`, "", 403, refused("No system roles (starting with underscore) in users db.")},
		{"", "PUT", user, `{"type":"user","name":"ann","roles":["_admin"],"Roles":[]}`, "", 403, refused("No system roles (starting with underscore) in users db.")},
		{"", "PUT", user, `{"type":"user","name":7,"roles":[]}`, "", 403, refused("doc.name has the wrong type")},
		{"", "PUT", user, `{"type":"user","name":"ann","roles":["crew"],"password":"swordfish"}`, "", 201, `{"ok":true,"id":"org.couchdb.user:ann","rev":"1-x"}`},
		{"webapp", "GET", user, "", "", 404, missing},
		{"nobody", "GET", user, "", "", 404, missing},
		{"webapp", "GET", "/_users/_all_docs", "", "", 403, refused("Only admins can access _all_docs of system databases.")},
		{"webapp", "POST", "/_users/_find", `{"selector":{}}`, "", 403, refused("Only admins can access _find of system databases.")},
		{"webapp", "GET", "/_users/_local/x", "", "", 403, refused("Only admins can access _local of system databases.")},
		{"webapp", "POST", "/_users", `{"_id":"_local/x"}`, "", 404, missing},
	})
	stored := n.admin(200, "GET", user, "")
	for _, bad := range []string{"swordfish", `"password":`} {
		if strings.Contains(stored.body, bad) {
			t.Errorf("stored document has %s: %s", bad, stored.body)
		}
	}
	for _, good := range []string{`"password_scheme":"pbkdf2"`, `"pbkdf2_prf":"sha256"`, `"iterations":600000`, `"salt":"`, `"derived_key":"`} {
		if !strings.Contains(stored.body, good) {
			t.Errorf("stored document has no %s: %s", good, stored.body)
		}
	}
	as := func(password, method, path, body string) answer {
		t.Helper()
		req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("ann", password)
		resp, err := n.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return answer{status: resp.StatusCode}
	}
	want := func(status int, password, method, path, body string) {
		t.Helper()
		if a := as(password, method, path, body); a.status != status {
			t.Errorf("ann %s %s: %d, want %d", method, path, a.status, status)
		}
	}
	want(200, "swordfish", "GET", "/db", "")
	want(401, "wrong", "GET", "/db", "")
	want(200, "swordfish", "GET", user, "")
	begun := time.Now()
	for range 50 {
		want(200, "swordfish", "GET", "/db", "")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("50 requests of a known password took %v: it is not remembered", took)
	}
	rev := strings.Trim(n.admin(200, "HEAD", user, "").header.Get("ETag"), `"`)
	change := func(roles, password string) string {
		return fmt.Sprintf(`{"_rev":%q,"type":"user","name":"ann","roles":%s,"password":%q}`, rev, roles, password)
	}
	want(403, "swordfish", "PUT", user, change(`["crew","boss"]`, "x"))
	want(403, "swordfish", "PUT", user, change(`[]`, "x"))
	want(201, "swordfish", "PUT", user, change(`["crew"]`, "barracuda"))
	want(401, "swordfish", "GET", "/db", "")
	want(200, "barracuda", "GET", "/db", "")
	want(404, "barracuda", "GET", "/_users/org.couchdb.user:bob", "")
	want(403, "barracuda", "DELETE", "/_users/_index/i/json/x", "")
	rev = strings.Trim(n.admin(200, "HEAD", user, "").header.Get("ETag"), `"`)
	n.admin(200, "DELETE", user+"?rev="+rev, "")
	want(401, "barracuda", "GET", "/db", "")
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	good := config(t, dir)
	if err := good.Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	for name, change := range map[string]func(*bigcouch.Config){
		"no listen":   func(c *bigcouch.Config) { c.Listen = "" },
		"no dir":      func(c *bigcouch.Config) { c.Dir = "" },
		"no name":     func(c *bigcouch.Config) { c.Accounts[0].Name = "" },
		"no password": func(c *bigcouch.Config) { c.Accounts[0].PasswordFile = "" },
		"twice":       func(c *bigcouch.Config) { c.Accounts[1].Name = "admin" },
		"system role": func(c *bigcouch.Config) { c.Accounts[1].Roles = []string{"_admin"} },
		"negative":    func(c *bigcouch.Config) { c.CacheBytes = -1 },
	} {
		c := config(t, dir)
		change(&c)
		if _, err := bigcouch.New(c, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(dir, "none")} {
		good.Accounts[0].PasswordFile = file
		if err := runOnce(t, good); err == nil || !strings.Contains(err.Error(), "admin") {
			t.Errorf("password in %s: %v", file, err)
		}
	}
}
