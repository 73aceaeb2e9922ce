package bigcouch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch"
)

// jobState returns what the scheduler says about a document of _replicator.
func (n *node) jobState(id string) (state, info string) {
	n.t.Helper()
	a := n.do("admin", "GET", "/_scheduler/docs/_replicator/"+id, "")
	if a.status == http.StatusNotFound {
		return "", ""
	}
	var s struct {
		State string
		Info  json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != 200 {
		n.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if strings.Contains(a.body, "horse") {
		n.t.Errorf("a password at _scheduler: %s", a.body)
	}
	return s.State, string(s.Info)
}

// awaitState returns what the scheduler says of a document in the state that it
// comes to: the next moment may find it in another one.
func (n *node) awaitState(id, want string) (info string) {
	n.t.Helper()
	poll(n.t, func() bool {
		var state string
		state, info = n.jobState(id)
		return state == want
	})
	return info
}

func (n *node) has(path string) func() bool {
	return func() bool { return n.do("admin", "GET", path, "").status == 200 }
}

const asAdmin = `"user_ctx":{"name":"admin","roles":["_admin"]}`

func TestReplicatorDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := start(t, t.TempDir()), start(t, dir)
	a.fill("db")
	b.admin(201, "PUT", "/copy", "")
	b.admin(201, "PUT", "/_replicator", "")

	// A job that ends says so in its document.
	b.admin(201, "PUT", "/_replicator/once+more", fmt.Sprintf(`{"source":%q,"target":"copy",%s}`, a.at("db"), asAdmin))
	b.awaitState("once%20more", "completed")
	var doc struct {
		Owner string         `json:"owner"`
		State string         `json:"_replication_state"`
		Time  string         `json:"_replication_state_time"`
		Stats map[string]any `json:"_replication_stats"`
	}
	poll(t, func() bool {
		if err := json.Unmarshal([]byte(b.admin(200, "GET", "/_replicator/once+more", "").body), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.State != ""
	})
	if doc.Owner != "admin" || doc.State != "completed" || doc.Time == "" || doc.Stats["docs_written"] != 10.0 {
		t.Errorf("document of a complete job: %+v", doc)
	}
	if got, want := b.tree("copy"), a.tree("db"); got != want {
		t.Errorf("trees differ\n got %.1000s\nwant %.1000s", got, want)
	}

	// A continuous one follows, also after a restart, until its document goes.
	b.admin(201, "PUT", "/_replicator/live", fmt.Sprintf(`{"source":%q,"target":"copy","continuous":true,"checkpoint_interval":100,%s}`, a.at("db"), asAdmin))
	a.admin(201, "PUT", "/db/first", `{}`)
	poll(t, b.has("/copy/first"))
	b.awaitState("live", "running")
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	a.admin(201, "PUT", "/db/second", `{}`)
	b = start(t, dir)
	poll(t, b.has("/copy/second"))
	b.awaitState("live", "running")
	b.awaitState("once%20more", "completed")
	rev := b.admin(200, "GET", "/_replicator/live", "")
	if !strings.Contains(rev.body, `"continuous":true`) || strings.Contains(rev.body, "_replication_state") {
		t.Errorf("document of a running job: %s", rev.body)
	}
	edit := func(id, body string) string { // Returns the new revision.
		etag := b.admin(200, "HEAD", "/_replicator/"+id, "").header.Get("ETag")
		return b.admin(201, "PUT", "/_replicator/"+id, body, "If-Match: "+etag).rev(t)
	}
	// Another source in its place.
	a.admin(201, "PUT", "/other", "")
	a.admin(201, "PUT", "/other/third", `{}`)
	last := edit("live", fmt.Sprintf(`{"source":%q,"target":"copy","continuous":true,%s}`, a.at("other"), asAdmin))
	poll(t, b.has("/copy/third"))
	a.admin(201, "PUT", "/db/unseen", `{}`)
	b.admin(200, "DELETE", "/_replicator/live?rev="+last, "")
	b.awaitState("live", "")
	poll(t, func() bool {
		return b.admin(200, "GET", "/_scheduler/jobs", "").body == `{"jobs":[],"offset":0,"total_rows":0}`
	})
	if b.has("/copy/unseen")() {
		t.Error("the former job still runs")
	}

	// One that fails waits and tries again. What it lacks comes in one step, for
	// the next try may come at any time: a source that is there and still empty
	// would be the end of it.
	b.admin(201, "PUT", "/_replicator/fails", fmt.Sprintf(`{"source":%q,"target":%q,%s}`, a.at("other"), a.at("later"), asAdmin))
	if info := b.awaitState("fails", "crashing"); !strings.Contains(info, `{"error":"db_not_found: could not open http://admin:*****@`) {
		t.Errorf("info of a failing job: %s", info)
	}
	a.admin(201, "PUT", "/later", "")
	poll(t, a.has("/later/third"))
	b.awaitState("fails", "completed")
	if s := b.admin(200, "GET", "/_scheduler/docs?states=completed&limit=1&skip=1", "").body; !strings.Contains(s, `"total_rows":2`) || strings.Count(s, `"doc_id"`) != 1 {
		t.Errorf("_scheduler/docs: %s", s)
	}

	// The same job twice: the second waits for the first to go.
	same := fmt.Sprintf(`{"source":%q,"target":"copy","continuous":true,%s}`, a.at("db"), asAdmin)
	last = b.admin(201, "PUT", "/_replicator/one", same).rev(t)
	b.awaitState("one", "running")
	b.admin(201, "PUT", "/_replicator/two", same)
	b.awaitState("two", "error")
	b.admin(200, "DELETE", "/_replicator/one?rev="+last, "")
	b.awaitState("two", "running")
	b.admin(200, "DELETE", "/_replicator", "")
	poll(t, func() bool {
		return b.admin(200, "GET", "/_scheduler/docs", "").body == `{"docs":[],"offset":0,"total_rows":0}`
	})
}

func TestReplicatorGuards(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/_replicator", "")
	if a := n.do("webapp", "GET", "/_replicator/x", ""); a.status != 403 {
		t.Errorf("closed by default: %d", a.status)
	}
	n.admin(200, "PUT", "/_replicator/_security", `{"members":{"names":["webapp","stranger"]}}`)
	for _, db := range []string{"own", "own2", "closed"} {
		n.admin(201, "PUT", "/"+db, "")
		if db != "closed" {
			n.admin(200, "PUT", "/"+db+"/_security", `{"members":{"roles":["users"]}}`)
		}
	}
	n.admin(201, "PUT", "/own/doc", `{}`)
	forbidden := func(reason string) string { return `{"error":"forbidden","reason":"` + reason + `"}` }
	const others = "Can't update replication documents from other users."
	const webapp = `"user_ctx":{"name":"webapp","roles":["users"]}`
	for _, tt := range []struct {
		user, id, body string
		status         int
		want           string
	}{
		{"webapp", "a", `{"source":"own","target":"own2"}`, 403, forbidden("The `user_ctx` property is missing (it is optional for admins only).")},
		{"webapp", "a", `{"source":"own","target":"own2","user_ctx":{"name":"admin","roles":["_admin"]}}`, 403, forbidden("The given `user_ctx.name` is not valid")},
		{"webapp", "a", `{"source":"own","target":"own2","user_ctx":{"name":"webapp","roles":["_admin"]}}`, 403, forbidden("Invalid role (`_admin`) in the `user_ctx`")},
		{"webapp", "a", `{"source":"own","target":"own2","user_ctx":"webapp"}`, 403, forbidden("The `user_ctx` property must be a non-null object.")},
		{"webapp", "a", `{"source":"own","target":"own2","owner":"admin",` + webapp + `}`, 403, forbidden(others)},
		{"webapp", "a", `{"source":"own",` + webapp + `}`, 403, forbidden("`target` is missing")},
		{"webapp", "a", `{"source":"own","target":"own2",` + webapp + `}`, 201, ""},
		{"webapp", "b", `{"source":"own","target":"closed",` + webapp + `}`, 201, ""},
		{"webapp", "c", `{"source":"http://me:secret1@localhost:1/own","target":{"url":"https://me:secret2@localhost:1/x","headers":{"X":"secret3"},"auth":null},` + webapp + `}`, 201, ""},
		{"stranger", "c", `{"_deleted":true}`, 403, forbidden(others)},
	} {
		a := n.do(tt.user, "PUT", "/_replicator/"+tt.id, tt.body)
		if a.status != tt.status || tt.want != "" && a.body != tt.want {
			t.Errorf("%s %s: %d %s, want %d %s", tt.user, tt.body, a.status, a.body, tt.status, tt.want)
		}
	}
	n.awaitState("a", "completed")
	if !n.has("/own2/doc")() {
		t.Error("the job of a member has done nothing")
	}
	if info := n.awaitState("b", "crashing"); !strings.Contains(info, "forbidden: closed: You are not allowed") {
		t.Errorf("a job without rights: %s", info)
	}
	if info := n.awaitState("c", "crashing"); !strings.Contains(info, "only server administrators may") {
		t.Errorf("a job towards the node's own network: %s", info)
	}

	// Nobody but the owner and administrators sees passwords.
	for _, tt := range []struct {
		user, method, path, body string
	}{
		{"stranger", "GET", "/c", ""},
		{"stranger", "GET", "/c?open_revs=all", ""},
		{"stranger", "GET", "/_all_docs?include_docs=true", ""},
		{"stranger", "GET", "/_changes?include_docs=true", ""},
		{"stranger", "POST", "/_bulk_get", `{"docs":[{"id":"c"}]}`},
		{"webapp", "GET", "/c", ""},
	} {
		a := n.do(tt.user, tt.method, "/_replicator"+tt.path, tt.body, "Accept: application/json")
		seen := strings.Count(a.body, "secret")
		if a.status != 200 || !strings.Contains(a.body, `localhost:1/own`) || (tt.user == "webapp") != (seen == 3) || tt.user == "stranger" && seen > 0 {
			t.Errorf("%s %s %s: %d %s", tt.user, tt.method, tt.path, a.status, a.body)
		}
	}
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "/_find", `{"selector":{"source":{"$regex":"secret"}}}`},
		{"POST", "/_explain", `{"selector":{}}`},
		{"GET", "/_index", ""},
		{"GET", "/_design/d/_view/v", ""},
		{"GET", "/_design%2Fd/_view/v", ""},
		{"POST", "/_changes", `{}`},
		{"GET", "/_changes?filter=_selector", ""},
	} {
		if a := n.do("stranger", tt.method, "/_replicator"+tt.path, tt.body); a.status != 403 {
			t.Errorf("stranger %s %s: %d %s", tt.method, tt.path, a.status, a.body)
		}
	}
	// Nor writes over it, in any way.
	rev := n.admin(200, "HEAD", "/_replicator/c", "").header.Get("ETag")
	if a := n.do("stranger", "DELETE", "/_replicator/c", "", "If-Match: "+rev); a.status != 403 {
		t.Errorf("deletion by a stranger: %d %s", a.status, a.body)
	}
	a := n.do("stranger", "POST", "/_replicator/_bulk_docs",
		`{"new_edits":false,"docs":[{"_id":"c","_rev":"9-a","source":"own","target":"own2","user_ctx":{"name":"stranger"}}]}`)
	if !strings.Contains(a.body, others) {
		t.Errorf("another leaf by a stranger: %d %s", a.status, a.body)
	}
	if a := n.do("webapp", "DELETE", "/_replicator/c", "", "If-Match: "+rev); a.status != 200 {
		t.Errorf("deletion by the owner: %d %s", a.status, a.body)
	}
	n.awaitState("c", "")

	// An administrator's without user_ctx has no rights here, but reaches what he
	// reaches.
	n.admin(201, "PUT", "/_replicator/nobody", `{"source":"own","target":"own2"}`)
	if state, _ := n.jobState("nobody"); state == "" {
		t.Error("a document is not shown at once")
	}
	n.awaitState("nobody", "crashing")
	n.admin(201, "PUT", "/_replicator/urls", fmt.Sprintf(`{"source":%q,"target":%q}`, n.at("own"), n.at("closed")))
	n.awaitState("urls", "completed")
}

// More continuous jobs than may run at a time take turns.
func TestReplicatorTurns(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir()) // Three at a time.
	n.admin(201, "PUT", "/_replicator", "")
	n.admin(201, "PUT", "/db", "")
	n.bulk("db", 0, 10)
	for i := range 8 {
		n.admin(201, "PUT", fmt.Sprintf("/_replicator/job%d", i), fmt.Sprintf(`{"source":"db","target":"copy%d","create_target":true,"continuous":true,%s}`, i, asAdmin))
	}
	for i := range 8 {
		poll(t, func() bool { return n.count(fmt.Sprintf("copy%d", i)) == 10 })
	}
	n.admin(201, "PUT", "/db/later", `{}`)
	for i := range 8 {
		poll(t, n.has(fmt.Sprintf("/copy%d/later", i)))
	}
	if s := n.admin(200, "GET", "/_scheduler/jobs", "").body; strings.Contains(s, "crashed") || !strings.Contains(s, `"total_rows":8`) {
		t.Errorf("jobs: %s", s)
	}
}

// The log knows no password, no name of a document or database, whatever
// fails; and a node with replications that hang stops at once.
func TestReplicatorLog(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // Takes connections and says nothing.
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var log synced
	s, err := bigcouch.New(config(t, t.TempDir()), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	s.SetSchedule(10, time.Minute, 20*time.Millisecond)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	n := &node{t: t, url: "http://" + ln.Addr().String(), hc: &http.Client{Transport: &http.Transport{}}}
	defer n.hc.CloseIdleConnections()
	poll(t, func() bool { return s.Check(ctx) == nil })
	n.admin(201, "PUT", "/_replicator", "")
	n.admin(201, "PUT", "/canary-db", "")
	n.admin(201, "PUT", "/_replicator/canary-doc", `{"source":{"url":"http://me:canary1@localhost:1/canary","headers":{"X":"canary2"}},"target":"canary-db","retries_per_request":1}`)
	n.awaitState("canary-doc", "crashing")
	n.admin(201, "PUT", "/_replicator/canary-two", `{"source":"http://me:canary3@canary.example/canary","target":"canary-db"}`)
	n.awaitState("canary-two", "crashing")
	hangs := `{"source":"http://me:canary4@` + silent.Addr().String() + `/canary","target":"canary-db"`
	n.admin(202, "POST", "/_replicate", hangs+`,"continuous":true}`)
	answered := make(chan answer, 1)
	go func() { answered <- n.do("admin", "POST", "/_replicate", hangs+`}`) }()
	poll(t, func() bool {
		return strings.Count(n.admin(200, "GET", "/_scheduler/jobs", "").body, `"doc_id":null`) == 2
	})
	begun := time.Now()
	cancel()
	if a := <-answered; a.status != 503 {
		t.Errorf("a request that waits for a replication: %d %s", a.status, a.body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the node took %v to stop", took)
	}
	text := log.String()
	if !strings.Contains(text, "replication failed") || strings.Contains(text, "canary") || strings.Contains(text, "horse") {
		t.Errorf("log: %s", text)
	}
}

// synced is a log that may be written to from any goroutine.
type synced struct {
	mu sync.Mutex // Guards b.
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
