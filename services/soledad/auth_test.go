package soledad_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

func TestAuthentication(t *testing.T) {
	s := start(t, nil)
	s.mem.Login("old-token", alice)
	s.mem.Logout("old-token")
	raw := func(text string) header { return header("Authorization: " + text) }
	const unauthorized, foreign = "Unauthorized", `{"type":"permission","detail":"this belongs to another user"}`
	ours := "/user-" + alice + "/sync-from/" + device
	for _, tt := range []struct {
		name   string
		path   string
		auth   header
		status int
		body   string // Empty: whatever.
	}{
		{"valid", ours, raw(authorization(alice, "alice-token")), 200, ""},
		{"scheme in lower case", ours, raw("t" + authorization(alice, "alice-token")[1:]), 200, ""},
		{"expired", ours, raw(authorization(alice, "old-token")), 401, unauthorized},
		{"unknown", ours, raw(authorization(alice, "x")), 401, unauthorized},
		{"another's token", ours, raw(authorization(alice, "bob-token")), 401, unauthorized},
		{"no header", ours, raw(""), 401, unauthorized},
		{"another scheme", ours, raw("Bearer alice-token"), 401, unauthorized},
		{"no base64", ours, raw("Token alice-token"), 401, unauthorized},
		{"no colon", ours, raw("Token " + base64.StdEncoding.EncodeToString([]byte(alice))), 401, unauthorized},
		{"no token", ours, raw(authorization(alice, "")), 401, unauthorized},
		{"too long", ours, raw(authorization(alice, strings.Repeat("x", 2000))), 401, unauthorized},
		{"foreign sync", ours, raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign keyring", "/user-" + alice + "/doc/keyring", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign notify", "/user-" + alice + "/notify", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign queue", "/user-" + alice + "/incoming", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign entry", "/user-" + alice + "/incoming/m1", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign blobs", "/blobs/" + alice + "/", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign blob", "/blobs/" + alice + "/x", raw(authorization(bob, "bob-token")), 403, foreign},
		{"foreign stream", "/stream/" + alice + "/", raw(authorization(bob, "bob-token")), 403, foreign},
		{"of nobody", "/user-nobody/sync-from/" + device, raw(authorization(bob, "bob-token")), 403, foreign},
		{"no rule", "/user-" + alice + "/doc/other", raw(authorization(alice, "alice-token")), 401, unauthorized},
		{"no rule at all", "/nothing", raw(authorization(alice, "alice-token")), 401, unauthorized},
		{"root", "/", raw(""), 200, `{"blobs":true,"version":"0.11.0","ext":["keyring","notify","newest","incoming"]}`},
		{"robots", "/robots.txt", raw(""), 200, "User-agent: *\nDisallow: /\n"},
		{"shared", "/shared", raw(authorization(bob, "bob-token")), 200, "{}"},
		{"shared without token", "/shared", raw(""), 401, unauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do("GET", tt.path, nil, tt.auth)
			if a.status != tt.status || tt.body != "" && a.body != tt.body {
				t.Errorf("got %d %q\nwant %d %q", a.status, a.body, tt.status, tt.body)
			}
			wantKind := map[int]problem.Kind{401: problem.Unauthenticated, 403: problem.Permission}[tt.status]
			if err := u1db.ErrorOf(a.status, []byte(a.body)); wantKind != "" && !errors.Is(err, wantKind) {
				t.Errorf("a client reads %v", err)
			}
		})
	}
	a := s.do("POST", "/user-"+alice+"/notify", "")
	if a.status != 405 || a.header.Get("Allow") != "GET" {
		t.Errorf("another method: %d, allowed %q", a.status, a.header.Get("Allow"))
	}
}

// away is a token database that cannot be asked.
type away struct{}

func (away) User(context.Context, string) (string, error) {
	return "", problem.Unavailable.Errorf("canary-detail")
}

func TestDatabaseAway(t *testing.T) {
	s := start(t, func(_ *soledad.Config, st *soledad.Stores) { st.Tokens = away{} })
	a := s.do("GET", path, nil)
	s.want("sync", a, 503, `{"error":"unavailable"}`)
	if a.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come again")
	}
	if err := s.srv.Check(t.Context()); err == nil {
		t.Error("it is healthy")
	}
	if log := s.log.String(); !strings.Contains(log, "canary-detail") || strings.Contains(log, alice) || strings.Contains(log, "alice-token") || strings.Contains(log, "127.0.0.1") {
		t.Errorf("the log: %s", log)
	}
}

func TestCheck(t *testing.T) {
	if err := start(t, nil).srv.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestConfig(t *testing.T) {
	valid := soledad.Config{Listen: ":2323", CertFile: "c", KeyFile: "k"}
	if err := valid.Validate(); err != nil {
		t.Errorf("valid: %v", err)
	}
	for name, edit := range map[string]func(*soledad.Config){
		"listen":    func(c *soledad.Config) { c.Listen = "" },
		"cert_file": func(c *soledad.Config) { c.CertFile = "" },
		"max_entry": func(c *soledad.Config) { c.MaxEntry = 201 << 20 },
		"max_blob":  func(c *soledad.Config) { c.MaxBlob = 1 << 40 },
		"waiters":   func(c *soledad.Config) { c.Waiters = -1 },
	} {
		c := valid
		edit(&c)
		if c.Validate() == nil {
			t.Errorf("a wrong %s is valid", name)
		}
	}
	if _, err := soledad.New(valid, soledad.Stores{}, nil); err == nil {
		t.Error("a server without stores")
	}
}
