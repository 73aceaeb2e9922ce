package bigcouch_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// at returns the URL of a database, with the administrator's password.
func (n *node) at(db string) string {
	return strings.Replace(n.url, "http://", "http://admin:"+strings.ReplaceAll(password, " ", "%20")+"@", 1) + "/" + db
}

// replicate asks for a replication and returns what it has done.
func (n *node) replicate(want int, body any) replicated {
	n.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	a := n.admin(want, "POST", "/_replicate", string(data))
	var r replicated
	if err := json.Unmarshal([]byte(a.body), &r); err != nil {
		n.t.Fatal(err)
	}
	return r
}

type replicated struct {
	OK        bool   `json:"ok"`
	ID        string `json:"_local_id"`
	NoChanges bool   `json:"no_changes"`
	Session   string `json:"session_id"`
	Error     string `json:"error"`
	Reason    string `json:"reason"`
	History   []struct {
		Read     int `json:"docs_read"`
		Written  int `json:"docs_written"`
		Failures int `json:"doc_write_failures"`
		Checked  int `json:"missing_checked"`
	} `json:"history"`
}

type body map[string]any

// tree returns all that a database says about its documents: every leaf with
// its history and attachments.
func (n *node) tree(db string) string {
	n.t.Helper()
	var changes struct {
		Results []struct {
			ID string `json:"id"`
		}
	}
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/"+db+"/_changes", "").body), &changes); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, r := range changes.Results {
		path := "/" + db + "/" + strings.ReplaceAll(escaped(r.ID), "_design%2F", "_design/")
		var leaves []struct{ OK map[string]any }
		a := n.admin(200, "GET", path+"?open_revs=all&revs=true&attachments=true", "", "Accept: application/json")
		if err := json.Unmarshal([]byte(a.body), &leaves); err != nil {
			n.t.Fatalf("%v: %s", err, a.body)
		}
		var lines []string
		for _, l := range leaves {
			data, err := json.Marshal(l.OK)
			if err != nil {
				n.t.Fatal(err)
			}
			lines = append(lines, string(data))
		}
		slices.Sort(lines)
		out = append(out, r.ID+" "+strings.Join(lines, " "))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func escaped(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// fill makes a database with one of everything.
func (n *node) fill(db string) {
	n.t.Helper()
	n.admin(201, "PUT", "/"+db, "")
	n.admin(201, "PUT", "/"+db+"/plain", `{"n":12345678901234567890,"f":1.0,"text":"é\u0000"}`)
	n.admin(201, "PUT", "/"+db+"/a%2Fb%20c%2Bd", `{"odd":"id"}`)
	n.admin(201, "PUT", "/"+db+"/_design/d", `{"language":"javascript","filters":{"f":"function(doc){return true}"}}`)
	rev := n.admin(201, "PUT", "/"+db+"/gone", `{}`).rev(n.t)
	n.admin(200, "DELETE", "/"+db+"/gone?rev="+rev, "")
	n.admin(201, "POST", "/"+db+"/_bulk_docs", `{"new_edits":false,"docs":[
		{"_id":"conflict","_revisions":{"start":2,"ids":["bb","aa"]},"x":1},
		{"_id":"conflict","_revisions":{"start":2,"ids":["cc","aa"]},"x":2},
		{"_id":"conflict","_revisions":{"start":3,"ids":["ee","dd","aa"]},"_deleted":true}]}`)
	rev = n.admin(201, "PUT", "/"+db+"/files/small%20one.txt", "hello", "Content-Type: text/plain").rev(n.t)
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 72<<10))
	rev = n.admin(201, "PUT", "/"+db+"/files/dir/big?rev="+rev, big, "Content-Type: application/octet-stream").rev(n.t)
	n.admin(201, "PUT", "/"+db+"/files/blank?rev="+rev, " ", "Content-Type: image/png")
	data := base64.StdEncoding.EncodeToString([]byte("inline"))
	n.admin(200, "PUT", "/"+db+"/deleted", `{"_deleted":true,"why":"x","_attachments":{"x":{"content_type":"text/plain","data":"`+data+`"}}}`)
	n.admin(201, "PUT", "/"+db+"/inline", `{"_attachments":{"x":{"content_type":"text/plain","data":"`+data+`"}}}`)
}

func TestReplicateBetweenNodes(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	a.fill("db")
	want := a.tree("db")
	for name, ask := range map[string]func() replicated{
		"push": func() replicated {
			return a.replicate(200, body{"source": "db", "target": b.at("push"), "create_target": true})
		},
		"pull": func() replicated {
			return b.replicate(200, body{"source": a.at("db"), "target": "pull", "create_target": true})
		},
		"third": func() replicated {
			return b.replicate(200, body{"source": body{"url": a.url + "/db", "auth": body{"basic": body{"username": "admin", "password": password}}}, "target": b.at("third"), "create_target": true})
		},
	} {
		r := ask()
		if !r.OK || r.NoChanges || r.Session == "" || len(r.History) != 1 || r.History[0].Written != 10 || r.History[0].Read != 10 {
			t.Errorf("%s: %+v", name, r)
		}
		if got := b.tree(name); got != want {
			t.Errorf("%s: trees differ\n got %.2000s\nwant %.2000s", name, got, want)
		}
		if r := ask(); !r.OK || !r.NoChanges {
			t.Errorf("%s again: %+v", name, r)
		}
	}
	// Within a node, with the rest of what one may ask for.
	b.replicate(200, body{"source": "pull", "target": "some", "create_target": true, "doc_ids": []string{"plain", "conflict", "none"}})
	if got := b.tree("some"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "conflict ") {
		t.Errorf("doc_ids: %s", got)
	}
	b.replicate(200, body{"source": a.at("db"), "target": "selected", "create_target": true, "selector": body{"odd": "id"}})
	if got := b.tree("selected"); strings.Count(got, "\n") != 0 || !strings.HasPrefix(got, "a/b c+d ") {
		t.Errorf("selector: %s", got)
	}
	// Later edits go as what they change: a stub stands for the old attachment.
	rev := a.rev("files")
	a.admin(201, "PUT", "/db/files/new?rev="+rev, "new", "Content-Type: text/plain")
	r := a.replicate(200, body{"source": "db", "target": b.at("push"), "create_target": true})
	if len(r.History) != 2 || r.History[0].Written != 1 || r.History[0].Checked != 1 {
		t.Errorf("one edit: %+v", r)
	}
	if got, want := b.tree("push"), a.tree("db"); got != want {
		t.Errorf("after an edit: trees differ\n got %.2000s\nwant %.2000s", got, want)
	}
}

func TestReplicateErrors(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	wrong := strings.Replace(n.at("db"), "correct", "wrong", 1)
	for _, tt := range []struct {
		status      int
		body        any
		word, about string
	}{
		{404, body{"source": "db", "target": "none"}, "db_not_found", "could not open none"},
		{404, body{"source": n.at("none"), "target": "db"}, "db_not_found", "could not open " + strings.Replace(n.url, "//", "//admin:*****@", 1) + "/none/"},
		{401, body{"source": wrong, "target": "db"}, "unauthorized", "incorrect"},
		{400, body{"source": "db"}, "bad_request", "`target` is missing"},
		{400, body{"source": "ftp://x/y", "target": "db"}, "bad_request", "`source` is neither"},
		{404, body{"source": "db", "target": "db", "filter": "d/f"}, "filter_fetch_error", "d/f"},
		{500, body{"source": "http://localhost:1/db", "target": "db", "retries_per_request": 1}, "replication_error", "refused"},
		{400, body{"source": "http://db.example/db", "target": "db"}, "replication_error", "no resolver"},
		{404, body{"cancel": true, "source": "db", "target": "db"}, "not_found", "No replication"},
	} {
		if r := n.replicate(tt.status, tt.body); r.Error != tt.word || !strings.Contains(r.Reason, tt.about) || strings.Contains(r.Reason, "horse") {
			t.Errorf("%v: %+v", tt.body, r)
		}
	}
	if a := n.do("", "POST", "/_replicate", `{"source":"db","target":"x"}`); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d %s", a.status, a.body)
	}
	// A user does what he may by himself, and no more.
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{"source":"db","target":"own"}`, 403},
		{`{"source":"own","target":"db"}`, 403},
		{`{"source":"own","target":"new","create_target":true}`, 401},
		{`{"source":"` + n.url + `/db","target":"own"}`, 403},
		{`{"source":"own","target":"own2"}`, 200},
	} {
		if n.do("admin", "HEAD", "/own", "").status == 404 {
			for _, db := range []string{"own", "own2"} {
				n.admin(201, "PUT", "/"+db, "")
				n.admin(200, "PUT", "/"+db+"/_security", `{"members":{"names":["webapp"]}}`)
			}
		}
		if a := n.do("webapp", "POST", "/_replicate", tt.body); a.status != tt.status {
			t.Errorf("webapp %s: %d %s, want %d", tt.body, a.status, a.body, tt.status)
		}
	}
}

func TestReplicateContinuous(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	a.fill("db")
	ask := body{"source": a.at("db"), "target": "copy", "create_target": true, "continuous": true}
	r := b.replicate(202, ask)
	if !strings.HasSuffix(r.ID, "+continuous+create_target") {
		t.Errorf("id %q", r.ID)
	}
	if again := b.replicate(202, ask); again.ID != r.ID {
		t.Errorf("asked again: %q, want %q", again.ID, r.ID)
	}
	reached := func(n *node, path string) func() bool {
		return func() bool { return n.do("admin", "GET", path, "").status == 200 }
	}
	poll(t, reached(b, "/copy/inline"))
	for i := range 5 {
		a.admin(201, "PUT", fmt.Sprintf("/db/later%d", i), `{}`)
		poll(t, reached(b, fmt.Sprintf("/copy/later%d", i)))
	}
	if s := b.admin(200, "GET", "/_scheduler/jobs", "").body; !strings.Contains(s, `"id":"`+r.ID+`"`) || strings.Contains(s, "horse") || !strings.Contains(s, `//admin:*****@`) {
		t.Errorf("_scheduler/jobs: %s", s)
	}
	if s := b.admin(200, "GET", "/_active_tasks", "").body; !strings.Contains(s, `"replication_id":"`+r.ID+`"`) || strings.Contains(s, "horse") {
		t.Errorf("_active_tasks: %s", s)
	}
	if s := b.do("webapp", "GET", "/_scheduler/jobs", ""); s.status != http.StatusUnauthorized {
		t.Errorf("_scheduler/jobs of a user: %d", s.status)
	}
	ask["cancel"] = true
	b.replicate(200, ask)
	b.replicate(404, ask)
	a.admin(201, "PUT", "/db/after", `{}`)
	if s := b.admin(200, "GET", "/_scheduler/jobs", "").body; s != `{"jobs":[],"offset":0,"total_rows":0}` {
		t.Errorf("_scheduler/jobs after cancel: %s", s)
	}
	if b.do("admin", "GET", "/copy/after", "").status != 404 {
		t.Error("it goes on after cancel")
	}
}
