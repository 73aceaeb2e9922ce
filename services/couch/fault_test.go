package couch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

const user = "0123456789abcdef0123456789abcdef"

func document(id, rev string) u1db.Document {
	return u1db.Document{ID: id, Rev: rev, Content: `{"raw":"` + id + rev + `"}`}
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Whatever happens to the first attempt of a write, it is done once and its
// caller is told so.
func TestWritesAreDoneOnce(t *testing.T) {
	t.Parallel()
	n, s := setup(t)
	for _, tt := range []struct {
		name string
		fault
		noOp bool // The node does not know op ids.
	}{
		{"lost reply", lost, false}, {"lost reply, no op ids", lost, true}, {"lost request", early, false}, {"busy", busy, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, n)
			p.noOp = tt.noOp
			p.with(first(tt.fault))
			s := s
			s.URLs = []string{p.url()}
			ctx := t.Context()
			admin, webapp, soledad := s.DB(t, "admin"), s.DB(t, "webapp"), s.DB(t, "soledad")
			id := fmt.Sprintf("%x", sha256.Sum256([]byte(tt.name)))[:32]

			u := &record.User{ID: id, Login: "joe" + id}
			check(t, "creating an account", webapp.Users().Create(ctx, u))
			u.Login = "jane" + id
			check(t, "changing it", webapp.Users().Update(ctx, u))
			i := &record.Identity{Address: u.Login + "@example.org"}
			check(t, "claiming an address", webapp.Identities().Create(ctx, i))
			check(t, "freeing it", webapp.Identities().Delete(ctx, i))
			check(t, "an invite code", webapp.Invites().Create(ctx, id, 2, time.Time{}))
			check(t, "using it", webapp.Invites().Use(ctx, id))
			check(t, "using it", webapp.Invites().Use(ctx, id))
			if err := webapp.Invites().Use(ctx, id); !errors.Is(err, problem.Limit) {
				t.Errorf("a third use of two: %v", err)
			}
			check(t, "a session", webapp.Sessions().Put(ctx, id, []byte("x"), time.Now().Add(time.Minute)))
			if _, err := webapp.Sessions().Take(ctx, id); err != nil {
				t.Errorf("taking the session: %v", err)
			}
			check(t, "a user database", admin.UserDBs().Create(ctx, id))
			db := soledad.UserDBs().Open(id)
			docs := []u1db.Document{document("a", "r:1"), document("b", "r:1")}
			changes, err := db.Append(ctx, docs, []string{"", ""})
			check(t, "appending", err)
			more, err := db.Append(ctx, []u1db.Document{document("a", "r:2")}, []string{"r:1"})
			check(t, "appending", err)
			if _, gen, trans, err := db.Info(ctx); gen != 3 || trans != more[0].TransID || changes[1].Gen != 2 || err != nil {
				t.Errorf("at %d, %q, %v; want 3 and %v", gen, trans, err, more)
			}
			check(t, "incoming mail", db.AddIncoming(ctx, record.Incoming{ID: "1", Body: []byte("x")}))
			check(t, "acknowledging it", db.DeleteIncoming(ctx, "1"))
			check(t, "a blob", db.PutBlob(ctx, "default", "b", []byte("x")))
			check(t, "a large blob", db.PutBlob(ctx, "default", "large", make([]byte, 5<<20)))
			check(t, "deleting a blob", db.DeleteBlob(ctx, "default", "b"))
			check(t, "a sync state", db.SetSyncState(ctx, "r", 1, "T"))
			check(t, "destroying it", admin.UserDBs().Destroy(ctx, id))
			check(t, "deleting the account", webapp.Users().Delete(ctx, id))
		})
	}
}

func TestNodeAwayAndBack(t *testing.T) {
	t.Parallel()
	n, s := setup(t)
	ctx := t.Context()
	webapp := s.DB(t, "webapp")
	check(t, "ping", webapp.Ping(ctx))
	u := &record.User{ID: user, Login: "joe"}
	check(t, "creating an account", webapp.Users().Create(ctx, u))
	followed := make(chan error, 1)
	go func() {
		followed <- s.DB(t, "tapicero").Users().Follow(ctx, "", func(string, bool, string) error { return nil })
	}()
	n.stop()
	if err := <-followed; !errors.Is(err, problem.Unavailable) {
		t.Errorf("following: %v, want an unavailable error", err)
	}
	start := time.Now()
	for what, err := range map[string]error{
		"ping":    webapp.Ping(ctx),
		"reading": second(webapp.Users().ByID(ctx, user)),
		"finding": second(webapp.Users().ByLogin(ctx, "joe")),
		"writing": webapp.Users().Update(ctx, u),
	} {
		if !errors.Is(err, problem.Unavailable) {
			t.Errorf("%s: %v, want an unavailable error", what, err)
		}
		if d := problem.DocumentOf(err); strings.Contains(d.Detail, user) || strings.Contains(d.Detail, n.addr) || strings.Contains(err.Error(), user) {
			t.Errorf("%s: %v (%+v) names what it must not", what, err, d)
		}
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v to find the node away", d)
	}
	n.start()
	check(t, "writing when it is back", webapp.Users().Update(ctx, u))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := webapp.Users().Update(canceled, u); !errors.Is(err, context.Canceled) {
		t.Errorf("with a canceled context: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestBusyNode(t *testing.T) {
	t.Parallel()
	n, s := setup(t)
	p := newProxy(t, n)
	s.URLs = []string{p.url()}
	webapp := s.DB(t, "webapp")
	p.with(func(*http.Request) fault { return busy })
	_, err := webapp.Users().ByID(t.Context(), user)
	if !errors.Is(err, problem.Unavailable) || p.seen.Load() < 2 {
		t.Errorf("a node that is always busy: %v after %d requests", err, p.seen.Load())
	}
	p.with(func(*http.Request) fault { return sick })
	if err := webapp.Ping(t.Context()); !errors.Is(err, problem.Unavailable) {
		t.Errorf("a node that is not up: %v", err)
	}
}

// Two nodes of Apache CouchDB may accept different edits of one revision. The
// one that does not win withdraws.
func TestConflictingEditsOfTwoNodes(t *testing.T) {
	t.Parallel()
	n, s := setup(t)
	s.External = true
	p := newProxy(t, n)
	direct := s.DB(t, "webapp").Invites()
	s.URLs = []string{p.url()}
	webapp := s.DB(t, "webapp").Invites()
	ctx := t.Context()
	check(t, "an invite code", direct.Create(ctx, "code", 5, time.Time{}))
	check(t, "using it", direct.Use(ctx, "code"))
	conflicts := 0
	p.with(func(r *http.Request) fault {
		if r.Method == http.MethodPut && conflicts == 0 {
			conflicts++
			p.conflict(r)
		}
		return none
	})
	check(t, "using it beside an edit that wins", webapp.Use(ctx, "code"))
	var left int
	for ; direct.Use(ctx, "code") == nil; left++ {
	}
	if conflicts != 1 || left != 2 {
		t.Errorf("after 3 uses of 5, one of them on another node, there were %d more (%d conflicts)", left, conflicts)
	}
}

// conflict stores another edit of the revision that r stores, which wins.
func (p *proxy) conflict(r *http.Request) {
	base, _, _ := strings.Cut(r.URL.Path[1:], "/")
	body := `{"new_edits":false,"docs":[{"_id":"code","invite_code":"code","invite_count":2,"max_uses":5,"type":"InviteCode",` +
		`"_rev":"9-ffffffffffffffffffffffffffffffff"}]}`
	req, err := http.NewRequest(http.MethodPost, "/"+base+"/_bulk_docs", strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return
	}
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.to.ServeHTTP(w, req)
	if w.Code != http.StatusCreated {
		p.t.Errorf("making a conflict: %d %s", w.Code, w.Body)
	}
}

func TestPasswordComesLaterAndChanges(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	s := n.server()
	s.PasswordFile = filepath.Join(t.TempDir(), "password")
	db := s.DB(t, "admin")
	if err := db.Setup(t.Context()); !errors.Is(err, problem.Unavailable) {
		t.Errorf("without the file: %v", err)
	}
	for _, step := range []struct {
		password string
		want     error
	}{{"wrong", problem.Internal}, {"correct horse\n", nil}} {
		check(t, "writing the file", os.WriteFile(s.PasswordFile, []byte(step.password), 0o600))
		if err := db.Setup(t.Context()); !errors.Is(err, step.want) {
			t.Errorf("with %q: %v, want %v", step.password, err, step.want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := couch.Config{URLs: []string{"https://a:6984", "http://b:5984/"}, Resolver: "127.0.0.1:53", User: "webapp", PasswordFile: "f"}
	check(t, "a good configuration", good.Validate())
	for what, change := range map[string]func(*couch.Config){
		"no urls":     func(c *couch.Config) { c.URLs = nil },
		"no user":     func(c *couch.Config) { c.User = "" },
		"no password": func(c *couch.Config) { c.PasswordFile = "" },
		"a path":      func(c *couch.Config) { c.URLs = []string{"http://a/b"} },
		"a password":  func(c *couch.Config) { c.URLs = []string{"http://a:b@c"} },
		"a scheme":    func(c *couch.Config) { c.URLs = []string{"ftp://a"} },
		"a name":      func(c *couch.Config) { c.Resolver = "" },
		"no host":     func(c *couch.Config) { c.URLs = []string{"http:"} },
		"n alone":     func(c *couch.Config) { c.N = 3 },
		"negative q":  func(c *couch.Config) { c.Q = -1 },
		"no URL":      func(c *couch.Config) { c.URLs = []string{"http://a\x00"} },
	} {
		c := good
		change(&c)
		if _, err := couch.Open(c, nil); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	good.CAFile = filepath.Join(t.TempDir(), "none")
	if _, err := couch.Open(good, nil); err == nil {
		t.Error("no CA file: no error")
	}
	check(t, "writing the file", os.WriteFile(good.CAFile, []byte("x"), 0o600))
	if _, err := couch.Open(good, nil); err == nil {
		t.Error("no certificate in the CA file: no error")
	}
}
