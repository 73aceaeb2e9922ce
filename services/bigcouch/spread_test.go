package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/store"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.tell([]step{
		{"", "PUT", "/db?q=9", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"The `q` parameter must be no more than 8, as many shards as there are.\"}"},
		{"", "PUT", "/_users?q=2", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"The `q` parameter of a system database must be 1.\"}"},
		{"", "PUT", "/db?q=4", "", "", 201, okBody},
		{"", "PUT", "/db?q=4", "", "", 412, `{"error":"file_exists","reason":"The database could not be created, the file already exists."}`},
		{"", "POST", "/db", `{"_id":"posted"}`, "", 201, `{"ok":true,"id":"posted","rev":"1-x"}`},
		{"", "POST", "/db", `{"_id":"_design/x","language":"query"}`, "", 201, `{"ok":true,"id":"_design/x","rev":"1-x"}`},
		{"webapp", "PUT", "/db/a", `{}`, "", 403, `{"error":"forbidden","reason":"You are not allowed to access this db."}`},
		{"", "GET", "/db/_shards/posted", "", "", 200, `{"range":"c0000000-ffffffff","nodes":["bigcouch@127.0.0.1"]}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"a","_rev":"x"},{"_id":"b"}]}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", "/db/b", "", "", 404, missing},
		{"", "GET", "/db/_changes?since=nonsense", "", "", 400, `{"error":"bad_request","reason":"Malformed sequence supplied in 'since' parameter."}`},
		{"", "PATCH", "/db/_find", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{"", "GET", "/db/_design/none/_view/v", "", "", 404, missing},
		{"", "GET", "/db/_design/x/_view/v", "", "", 400, `{"error":"unknown_query_language","reason":"query"}`},
		{"", "DELETE", "/db", "", "", 200, okBody},
		{"", "GET", "/db/_all_docs", "", "", 404, `{"error":"not_found","reason":"Database does not exist."}`},
	})
	n.admin(201, "PUT", "/other?q=8", "")
	if a := n.admin(200, "GET", "/other", ""); !strings.Contains(a.body, `"cluster":{"q":8,`) {
		t.Errorf("info %s", a.body)
	}
	if a := n.admin(200, "GET", "/other/_shards", ""); strings.Count(a.body, "-") < 8 || !strings.Contains(a.body, `"00000000-1fffffff":`) {
		t.Errorf("shards %s", a.body)
	}
}

// A feedLine is a line of a continuous feed.
type feedLine struct {
	ID   string
	Seq  string
	Last string `json:"last_seq"`
}

// readFeed reads a continuous feed until it ends, and returns its rows.
func (n *node) readFeed(path string) (lines []feedLine, err error) {
	req, err := http.NewRequest("GET", n.url+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("admin", password)
	resp, err := n.hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var line feedLine
		if err := dec.Decode(&line); err != nil {
			return lines, err
		}
		lines = append(lines, line)
		if line.Last != "" {
			return lines, nil
		}
	}
}

// A continuous feed of three nodes tells each write once, also while one of them
// is stopped and comes back, and one that is resumed at any of its sequences
// tells exactly what came behind it.
func TestSpreadFeed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a, b := c.nodes["a"], c.nodes["b"]
	a.admin(201, "PUT", "/db?q=4", "")
	const writes = 120
	var lines []feedLine
	var feedErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		lines, feedErr = b.readFeed(fmt.Sprintf("/db/_changes?feed=continuous&heartbeat=500&limit=%d", writes))
	})
	for i := range writes {
		if i == writes/3 {
			if err := a.stop(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 2*writes/3 {
			c.start("a")
		}
		poll(t, func() bool {
			status := b.do("admin", "PUT", fmt.Sprintf("/db/doc%03d", i), `{}`, fmt.Sprintf("X-Leap-Op: operation-%012d", i)).status
			return status == 201
		})
	}
	wg.Wait()
	if feedErr != nil || len(lines) != writes+1 {
		t.Fatalf("%d lines, %v", len(lines), feedErr)
	}
	var ids []string
	for _, l := range lines[:writes] {
		ids = append(ids, l.ID)
	}
	for _, at := range []int{0, 1, writes / 2, writes - 2, writes - 1} {
		var page struct{ Results []feedLine }
		got := c.nodes["c"].admin(200, "GET", "/db/_changes?since="+lines[at].Seq, "", "X-Leap-Fresh: true")
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatal(err)
		}
		var rest []string
		for _, r := range page.Results {
			rest = append(rest, r.ID)
		}
		slices.Sort(rest)
		want := slices.Sorted(slices.Values(ids[at+1:]))
		if !slices.Equal(rest, want) {
			t.Errorf("behind line %d: %d rows, want %d", at, len(rest), len(want))
		}
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != writes {
		t.Errorf("%d documents, want %d", len(ids), writes)
	}
}

func TestSpreadLive(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db?q=3", "")
	n.admin(201, "PUT", "/db/a", "{}")
	var page struct {
		Results []feedLine
		Last    string `json:"last_seq"`
	}
	read := func(a answer) {
		t.Helper()
		page.Results = nil
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
	}
	read(n.admin(200, "GET", "/db/_changes?feed=longpoll", ""))
	if len(page.Results) != 1 {
		t.Errorf("there at once: %v", page)
	}
	read(n.admin(200, "GET", "/db/_changes?feed=longpoll&timeout=100&since="+page.Last, ""))
	if len(page.Results) != 0 {
		t.Errorf("after the timeout: %v", page)
	}
	read(n.admin(200, "GET", "/db/_changes?feed=continuous&timeout=50&since=now", ""))
	if len(page.Results) != 0 || page.Last == "" {
		t.Errorf("continuous, after the timeout: %v", page)
	}
	for i := range 5 {
		var wg sync.WaitGroup
		var a answer
		wg.Go(func() {
			a = n.do("admin", "GET", "/db/_changes?feed=longpoll&heartbeat=1000&include_docs=true&since="+page.Last, "")
		})
		time.Sleep(time.Duration(i) * 5 * time.Millisecond) // Before, while and after it begins.
		n.admin(201, "PUT", fmt.Sprintf("/db/doc%d", i), `{"n":1}`)
		wg.Wait()
		read(a)
		if len(page.Results) != 1 || page.Results[0].ID != fmt.Sprintf("doc%d", i) {
			t.Errorf("woken: %s", a.body)
		}
	}
	// The end of the database is the end of its feeds.
	var wg sync.WaitGroup
	var lines []feedLine
	var err error
	wg.Go(func() { lines, err = n.readFeed("/db/_changes?feed=continuous&heartbeat=1000&since=now") })
	time.Sleep(20 * time.Millisecond)
	n.admin(200, "DELETE", "/db", "")
	wg.Wait()
	if err != nil && len(lines) > 0 {
		t.Errorf("dropped: %v, %v", lines, err)
	}
}

// However far the making or dropping of a database has come, the next start
// finishes it.
func TestSpreadRecover(t *testing.T) {
	t.Parallel()
	const parts = 3
	spread := func(name string, id uint64) store.Command {
		return store.CreateSpread{Database: store.Database{Name: name, ID: id, Shard: 2, Shards: []uint16{2, 3, 4}, RevsLimit: 10}}
	}
	dir := t.TempDir()
	cfg := config(t, dir)
	s, err := store.Open(store.Options{Dir: cfg.Dir, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(shard uint16, cmds ...store.Command) {
		t.Helper()
		b, err := s.Batch(shard)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cmds {
			if r, err := b.Apply(store.Position{Index: b.Head().Index + 1}, store.Entry{Cmd: c}); err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
		}
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	var born []string
	for step := range parts + 1 { // So many parts are open, or dropped.
		making, dropping := fmt.Sprintf("making%d", step), fmt.Sprintf("dropping%d", step)
		id := uint64(10 * (step + 1))
		born = append(born, fmt.Sprintf("%q", making))
		commit(store.CatalogueShard, spread(making, id), spread(dropping, id+1))
		for i := range parts {
			if i < step {
				commit(uint16(2+i), store.OpenDatabase{DB: id})
			}
			commit(uint16(2+i), store.OpenDatabase{DB: id + 1}, store.WriteDocs{DB: id + 1, RevsLimit: 10, Docs: []store.Doc{{ID: "a", Body: []byte("{}")}}})
		}
		commit(store.CatalogueShard, store.SetState{Name: dropping, DB: id + 1, State: store.Live},
			store.SetState{Name: dropping, DB: id + 1, State: store.Deleting})
		for i := range step {
			commit(uint16(2+i), store.DropDatabase{DB: id + 1})
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n := start(t, dir)
	if a := n.admin(200, "GET", "/_all_dbs", ""); a.body != "["+strings.Join(born, ",")+"]" {
		t.Fatalf("databases %s", a.body)
	}
	for step := range parts + 1 {
		db := fmt.Sprintf("/making%d", step)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			n.admin(201, "PUT", db+"/"+id, "{}")
		}
		if a := n.admin(200, "GET", db+"/_all_docs", ""); !strings.HasPrefix(a.body, `{"total_rows":5,`) {
			t.Errorf("%s: %s", db, a.body)
		}
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if r, err := bigcouch.Verify(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err != nil || !r.OK() {
		t.Errorf("verify: %v, %v", r, err)
	}
}
