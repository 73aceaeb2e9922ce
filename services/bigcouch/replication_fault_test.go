package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/services/bigcouch"
)

// A crook is a proxy before a node that may answer otherwise.
type crook struct {
	url string
	// instead answers a request itself, and says so.
	instead func(w http.ResponseWriter, r *http.Request) bool
}

func newCrook(t *testing.T, n *node, instead func(w http.ResponseWriter, r *http.Request) bool) *crook {
	t.Helper()
	to, err := url.Parse(n.url)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     tr,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	c := &crook{instead: instead}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.instead(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	c.url = s.URL
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		tr.CloseIdleConnections()
	})
	return c
}

func (c *crook) at(db string) any {
	return body{"url": c.url + "/" + db, "auth": body{"basic": body{"username": "admin", "password": password}}}
}

// bulk writes many documents.
func (n *node) bulk(db string, from, to int) {
	n.t.Helper()
	var docs []body
	for i := from; i < to; i++ {
		docs = append(docs, body{"_id": fmt.Sprintf("doc%05d", i), "n": i, "text": strings.Repeat("x", 300)})
	}
	data, err := json.Marshal(body{"docs": docs})
	if err != nil {
		n.t.Fatal(err)
	}
	n.admin(201, "POST", "/"+db+"/_bulk_docs", string(data))
}

func (n *node) count(db string) (docs int) {
	n.t.Helper()
	var info struct {
		Docs int `json:"doc_count"`
	}
	a := n.do("admin", "GET", "/"+db, "")
	if a.status == 404 {
		return 0
	}
	if err := json.Unmarshal([]byte(a.body), &info); err != nil {
		n.t.Fatal(err)
	}
	return info.Docs
}

// A run that was ended in the middle, by the death of either side, goes on
// where its last checkpoint was.
func TestReplicationResumes(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	a.admin(201, "PUT", "/db", "")
	a.bulk("db", 0, 2000)
	var written atomic.Int64 // Requests of the kind that counts.
	var dead atomic.Bool
	side := func(n *node, counts string) *crook {
		return newCrook(t, n, func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, counts) {
				time.Sleep(110 * time.Millisecond) // A slow one: each batch takes longer than the interval of checkpoints.
				dead.CompareAndSwap(false, written.Add(1) == 5)
			}
			if dead.Load() {
				panic(http.ErrAbortHandler)
			}
			return false
		})
	}
	for _, tt := range []struct {
		name           string
		source, target any
	}{
		{"target", a.at("db"), side(b, "/_bulk_docs").at("target")},
		{"source", side(a, "/_bulk_get").at("db"), b.at("source")},
	} {
		b.admin(201, "PUT", "/"+tt.name, "")
		ask := body{"source": tt.source, "target": tt.target, "worker_batch_size": 250, "checkpoint_interval": 100, "retries_per_request": 1}
		written.Store(0)
		if r := a.replicate(500, ask); r.Error != "replication_error" {
			t.Errorf("%s dies: %+v", tt.name, r)
		}
		if n := b.count(tt.name); n == 0 || n >= 2000 {
			t.Errorf("%s dies: %d documents", tt.name, n)
		}
		dead.Store(false)
		r := a.replicate(200, ask)
		if n := b.count(tt.name); n != 2000 || !r.OK || r.History[0].Checked != 1000 {
			t.Errorf("%s: %d documents after it was back: %+v", tt.name, n, r)
		}
		if r := a.replicate(200, ask); !r.NoChanges {
			t.Errorf("%s: another run: %+v", tt.name, r)
		}
	}
}

// Peers that answer badly now and then are asked again.
func TestReplicationOfBrokenPeers(t *testing.T) {
	t.Parallel()
	good := start(t, t.TempDir())
	good.fill("db")
	want := good.tree("db")
	dst := start(t, t.TempDir())
	endless := func(w http.ResponseWriter, head, piece string) {
		io.WriteString(w, head)
		for s := strings.Repeat(piece, 1000); ; {
			if _, err := io.WriteString(w, s); err != nil {
				return
			}
		}
	}
	wait := func(r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then the server sees that the client goes.
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	}
	for name, tt := range map[string]struct {
		path   string
		bad    func(w http.ResponseWriter, r *http.Request)
		times  int64 // How often; 0: always.
		status int   // Of the answer then.
		reason string
		silent bool // The peer says nothing, and our patience is short.
	}{
		"error once":   {path: "", times: 3, bad: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		"error always": {path: "/_changes", status: 500, reason: "Internal Server Error", bad: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		"unauthorized": {path: "/_changes", status: 401, bad: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }},
		"redirect": {path: "/_changes", status: 500, reason: "redirects", bad: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/", http.StatusFound)
		}},
		"cut changes":   {path: "/_changes", times: 2, bad: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"results":[{"seq":"1-x","id":"pl`) }},
		"cut documents": {path: "/_bulk_get", times: 2, bad: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"results":[{"id":"plain","docs":[`) }},
		"no JSON":       {path: "/_changes", status: 500, reason: "not the JSON", bad: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `<html>secret`) }},
		"another JSON":  {path: "/_changes", status: 500, reason: "not the JSON", bad: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"results":{"a":1}}`) }},
		"broken pipe":   {path: "/_changes", times: 1, bad: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"silent once":   {silent: true, path: "/_bulk_get", times: 1, bad: func(_ http.ResponseWriter, r *http.Request) { wait(r) }},
		"silent":        {silent: true, path: "/_bulk_get", status: 500, reason: "silent", bad: func(_ http.ResponseWriter, r *http.Request) { wait(r) }},
		"half, then none": {silent: true, path: "/_changes", times: 1, bad: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"results":[`)
			w.(http.Flusher).Flush()
			wait(r)
		}},
		"endless row": {path: "/_changes", status: 400, reason: "no end", bad: func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"results":[{"id":"`, "abcdefgh") }},
		"endless document": {path: "/_bulk_get", status: 400, reason: "no end", bad: func(w http.ResponseWriter, _ *http.Request) {
			endless(w, `{"results":[{"id":"plain","docs":[{"ok":{"_id":"`, "abcdefgh")
		}},
		"endless spaces": {path: "/_changes", status: 400, reason: "no end", bad: func(w http.ResponseWriter, _ *http.Request) { endless(w, "", " ") }},
		"endless info":   {path: "", status: 400, reason: "no end", bad: func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"a":"`, "abcdefgh") }},
		"no _bulk_get":   {path: "/_bulk_get", bad: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
		"empty _bulk_get": {path: "/_bulk_get", bad: func(w http.ResponseWriter, r *http.Request) {
			var ask struct{ Docs []struct{ ID string } }
			_ = json.NewDecoder(r.Body).Decode(&ask)
			var rows []body
			for _, d := range ask.Docs {
				rows = append(rows, body{"id": d.ID, "docs": []body{{}}})
			}
			_ = json.NewEncoder(w).Encode(body{"results": rows})
		}},
		"short attachment": {path: "/files/dir/big", times: 2, bad: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "0123") }},
		"long attachment":  {path: "/files/dir/big", status: 500, reason: "longer than", bad: func(w http.ResponseWriter, _ *http.Request) { endless(w, "", "0123456789abcdef") }},
		"lost in between":  {path: "/inline", status: 200, reason: "", bad: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			c := newCrook(t, good, func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/db"+tt.path || tt.times > 0 && n.Add(1) > tt.times {
					return false
				}
				tt.bad(w, r)
				return true
			})
			db := "copy" + strings.Map(func(r rune) rune {
				if r < 'a' || r > 'z' {
					return -1
				}
				return r
			}, strings.ToLower(name))
			ask := body{"source": c.at("db"), "target": db, "create_target": true, "retries_per_request": 2}
			if tt.times > 0 {
				ask["retries_per_request"] = 6
			}
			if tt.silent {
				ask["connection_timeout"] = 3000
			}
			node := *dst
			node.t = t
			status := tt.status
			if status == 0 {
				status = 200
			}
			r := node.replicate(status, ask)
			if tt.status > 200 {
				if !strings.Contains(r.Reason, tt.reason) || strings.Contains(r.Reason, "secret") || strings.Contains(r.Reason, "horse") {
					t.Errorf("%+v", r)
				}
				return
			}
			if got := node.tree(db); got != want {
				t.Errorf("trees differ\n got %.2000s\nwant %.2000s", got, want)
			}
		})
	}
}

// A target that refuses some documents gets the others.
func TestReplicationOfRefusals(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir())
	a.fill("db")
	small := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxDocumentSize = 5000 })
	a.admin(201, "PUT", "/db/large", `{"text":"`+strings.Repeat("x", 6000)+`"}`)
	r := a.replicate(200, body{"source": "db", "target": small.at("copy"), "create_target": true})
	if r.History[0].Failures != 1 || r.History[0].Written != 10 || small.count("copy") != a.count("db")-1 {
		t.Errorf("%+v; %d documents of %d", r, small.count("copy"), a.count("db"))
	}
	// Design documents belong to administrators.
	small.admin(200, "PUT", "/copy/_security", `{"members":{"roles":["users"]}}`)
	small.admin(201, "PUT", "/members", "")
	small.admin(200, "PUT", "/members/_security", `{"members":{"roles":["users"]}}`)
	if w := small.do("webapp", "POST", "/_replicate", `{"source":"copy","target":"members"}`); w.status != 200 || !strings.Contains(w.body, `"doc_write_failures":1`) {
		t.Errorf("as a member: %d %s", w.status, w.body)
	}
	// A target that takes one document at a time, or says 400 to all for one.
	for name, status := range map[string]int{"bad": 400, "many": 413} {
		c := newCrook(t, small, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/_bulk_docs") {
				return false
			}
			data, _ := io.ReadAll(r.Body)
			if strings.Contains(string(data), `"_id":"plain"`) || status == 413 && strings.Count(string(data), `"_id"`) > 1 {
				w.WriteHeader(status)
				if status == 400 {
					io.WriteString(w, `{"error":"doc_validation","reason":"no"}`)
				}
				return true
			}
			r.Body = io.NopCloser(strings.NewReader(string(data)))
			return false
		})
		r := a.replicate(200, body{"source": "db", "target": c.at(name), "create_target": true})
		if r.History[0].Failures != 2 || small.do("admin", "GET", "/"+name+"/inline", "").status != 200 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A document that is edited while its attachments are read comes with the edit.
func TestReplicationOfEditsInBetween(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	a.fill("db")
	var once sync.Once
	for _, path := range []string{"/db/inline/x", "/db/files/dir/big"} {
		once = sync.Once{}
		c := newCrook(t, a, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				once.Do(func() {
					id := strings.Split(path, "/")[2]
					a.admin(201, "PUT", "/db/"+id+"/other?rev="+a.rev(id), "later", "Content-Type: text/plain")
				})
			}
			return false
		})
		db := "copy" + strings.ReplaceAll(path, "/", "-")
		b.replicate(200, body{"source": c.at("db"), "target": db, "create_target": true})
		if got, want := b.tree(db), a.tree("db"); got != want {
			t.Errorf("%s: trees differ\n got %.1000s\nwant %.1000s", path, got, want)
		}
	}
}

// The replicator asks the resolver of the configuration, and no other.
func TestReplicationResolver(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 16)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 512); ; {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			select {
			case asked <- string(b[12:n]):
			default:
			}
			b[2] |= 0x80
			b[3] = 3 // No such name.
			pc.WriteTo(b[:n], from)
		}
	}()
	defer func() { pc.Close(); <-ended }()
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.Resolver = pc.LocalAddr().String() })
	n.admin(201, "PUT", "/db", "")
	r := n.replicate(500, body{"source": "http://couch.example/db", "target": "db", "retries_per_request": 1})
	if !strings.Contains(r.Reason, "no such host") {
		t.Errorf("%+v", r)
	}
	if q := <-asked; !strings.HasPrefix(q, "\x05couch\x07example\x00") {
		t.Errorf("asked %q", q)
	}
}
