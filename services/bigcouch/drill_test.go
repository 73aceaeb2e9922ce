package bigcouch_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leap.example/services/bigcouch"
)

// sealedIn seals a node under a key of its own.
func sealedIn(t testing.TB, dir string) func(*bigcouch.Config) {
	var key [32]byte
	rand.Read(key[:])
	file := filepath.Join(dir, "node.key")
	if err := os.WriteFile(file, []byte(hex.EncodeToString(key[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(cfg *bigcouch.Config) { cfg.KeyFiles = []string{file} }
}

// random writes a database of random documents: edits, tombstones, conflicts,
// attachments, local documents, and a view and an index over them.
func (n *node) random(db string, rng *mrand.Rand) {
	n.t.Helper()
	n.admin(201, "PUT", fmt.Sprintf("%s?q=%d", db, 1+3*rng.IntN(2)), "")
	n.admin(201, "PUT", db+"/_design/v", `{"views":{"by-n":{"map":"function (doc) { emit(doc.n, 1) }","reduce":"_sum"}}}`)
	n.admin(200, "POST", db+"/_index", `{"index":{"fields":["n"]}}`)
	for i := range 20 + rng.IntN(30) {
		doc := fmt.Sprintf("%s/doc-%d", db, i)
		data := make([]byte, rng.IntN(3)*rng.IntN(3000))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		att := base64.StdEncoding.EncodeToString(data)
		rev := n.admin(201, "PUT", doc, fmt.Sprintf(`{"n":%d,"_attachments":{"a":{"content_type":"x/y","data":%q}}}`, rng.IntN(9), att)).rev(n.t)
		switch rng.IntN(5) {
		case 0:
			n.admin(200, "DELETE", doc+"?rev="+rev, "")
		case 1:
			n.admin(201, "PUT", doc, fmt.Sprintf(`{"n":7,"_rev":%q,"_attachments":{"a":{"stub":true}},"x":%q}`, rev, strings.Repeat("x", rng.IntN(9000))))
		case 2:
			n.admin(201, "POST", db+"/_bulk_docs", fmt.Sprintf(`{"new_edits":false,"docs":[{"_id":"doc-%d","_rev":"1-branch%d","n":5}]}`, i, rng.IntN(9)))
		case 3:
			n.admin(201, "PUT", fmt.Sprintf("%s/_local/l-%d", db, i), `{"l":1}`)
		}
	}
}

// views returns what views and indexes answer.
func (n *node) views(db string) string {
	n.t.Helper()
	return n.admin(200, "GET", db+"/_design/v/_view/by-n?group=true", "").body +
		n.admin(200, "GET", db+"/_design/v/_view/by-n?reduce=false", "").body +
		n.admin(200, "POST", db+"/_find", `{"selector":{"n":{"$gt":4}},"fields":["_id","_rev","n"],"limit":1000}`).body
}

// A drill: a sealed node is backed up while clients write, and is restored on a
// node by itself and on three nodes that are sealed under other keys. What was
// acknowledged before the backup began is all there, of what came later a
// beginning; nothing else differs.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	rng := mrand.New(mrand.NewPCG(mrand.Uint64(), 1))
	dir := t.TempDir()
	n := start(t, dir, sealedIn(t, dir))
	dbs := []string{"/db1", "/db2", "/db3", "/db4"}
	views := map[string]string{}
	for _, db := range dbs {
		n.random(db, rng)
		views[db] = n.views(db)
	}
	want := n.contents()
	var feed struct {
		Last string `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/db2/_changes", "").body), &feed); err != nil {
		t.Fatal(err)
	}

	const writers = 4
	var acknowledged [writers]atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		n.admin(201, "PUT", fmt.Sprintf("/load%d", i), "")
		wg.Go(func() {
			for k := int64(0); ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				if a := n.do("admin", "PUT", fmt.Sprintf("/load%d/%06d", i, k), fmt.Sprintf(`{"k":%d}`, k)); a.status != http.StatusCreated {
					t.Errorf("writing under load: %d %s", a.status, a.body)
					return
				}
				acknowledged[i].Store(k + 1)
			}
		})
	}
	poll(t, func() bool { return acknowledged[0].Load() > 20 && acknowledged[writers-1].Load() > 20 })
	var before, after [writers]int64
	for i := range acknowledged {
		before[i] = acknowledged[i].Load()
	}
	op := newOperator(t)
	b := op.backup(n)
	for i := range acknowledged {
		after[i] = acknowledged[i].Load() + 1 // One may have been under way.
	}
	close(stop)
	wg.Wait()

	check := func(n *node, who string) {
		t.Helper()
		got := n.contents()
		for i := range writers {
			name := fmt.Sprintf("load%d", i)
			var all struct{ Rows []struct{ ID string } }
			if err := json.Unmarshal([]byte(n.admin(200, "GET", "/"+name+"/_all_docs?r=2", "").body), &all); err != nil {
				t.Fatal(err)
			}
			if k := int64(len(all.Rows)); k < before[i] || k > after[i] || k > 0 && all.Rows[k-1].ID != fmt.Sprintf("%06d", k-1) {
				t.Errorf("%s: %s has %d documents; %d were acknowledged before, %d after", who, name, k, before[i], after[i])
			}
			delete(got, name)
		}
		for name := range got {
			if strings.HasPrefix(name, "ready-") {
				delete(got, name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", who, got, want)
		}
		for _, db := range dbs {
			if got := n.views(db); got != views[db] {
				t.Errorf("%s: views of %s: %s, want %s", who, db, got, views[db])
			}
		}
		var changes struct{ Results []struct{ ID string } }
		if err := json.Unmarshal([]byte(n.admin(200, "GET", "/db2/_changes?since="+feed.Last, "").body), &changes); err != nil || len(changes.Results) < 20 {
			t.Errorf("%s: an old since gives %d changes, %v", who, len(changes.Results), err)
		}
	}
	alone := t.TempDir()
	seal := sealedIn(t, alone)
	if done, err := op.restore(t, alone, [][]byte{b}, seal); err != nil || !done.Report.OK() {
		t.Fatalf("%+v, %v", done, err)
	}
	r := start(t, alone, seal)
	check(r, "alone")
	r.admin(201, "PUT", "/load0/later", `{}`)

	c := newCluster(t, 3, "a", "b", "c")
	seals := map[string]func(*bigcouch.Config){}
	for _, name := range c.names {
		seals[name] = sealedIn(t, c.dirs[name])
	}
	if done, err := op.restore(t, c.dirs["a"], [][]byte{b}, c.with("a"), seals["a"]); err != nil || !done.Report.OK() {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, name := range c.names {
		c.nodes[name] = start(t, c.dirs[name], c.with(name), seals[name])
	}
	c.ready(c.names...)
	for _, name := range c.names {
		check(c.nodes[name], name)
	}
	c.nodes["c"].admin(201, "PUT", "/load0/later", `{}`)
	poll(t, func() bool {
		a := c.nodes["b"].do("admin", "POST", "/_node/_local/_digest", `{}`)
		return a.status == 200 && strings.Contains(a.body, `"equal":true,"shards"`)
	})
}

// Two of three nodes are gone for good: the third goes on.
func TestLostMajority(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	c.nodes["a"].furnish(3)
	c.nodes["c"].admin(200, "GET", "/db2/_security?r=2", "")
	var feed struct {
		Last string `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(c.nodes["a"].admin(200, "GET", "/db1/_changes", "").body), &feed); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config(t, c.dirs["c"])
	c.with("c")(&cfg)
	list, err := bigcouch.Survey(cfg, slog.New(slog.DiscardHandler))
	if err != nil || len(list) != 9 || len(list[1].Voters) != 3 || list[1].LastTerm == 0 || list[1].Survivor != "c" {
		t.Fatalf("survey: %+v, %v", list, err)
	}
	if _, err := bigcouch.Recover(cfg, []uint16{77}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a shard that is not there is recovered")
	}
	done, err := bigcouch.Recover(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil || len(done.Shards) != 9 {
		t.Fatalf("%+v, %v", done, err)
	}
	saved := cfg
	saved.Dir = filepath.Join(cfg.Dir, done.Checkpoint)
	if old, err := bigcouch.Survey(saved, slog.New(slog.DiscardHandler)); err != nil || old[1].LastIndex != list[1].LastIndex || len(old[1].Voters) != 3 {
		t.Errorf("the checkpoint has %+v, %v", old, err)
	}
	if now, err := bigcouch.Survey(cfg, slog.New(slog.DiscardHandler)); err != nil || len(now[1].Voters) != 1 || now[1].Epoch <= list[1].Epoch || now[1].Beyond > 0 {
		t.Errorf("afterwards %+v, %v", now, err)
	}
	c.dirs["a"], c.dirs["b"] = t.TempDir(), t.TempDir()
	c.start("c", "a", "b")
	c.ready("c", "a", "b")
	a := c.nodes["a"].admin(200, "GET", "/db1/_changes?r=2&since="+feed.Last, "")
	if !strings.Contains(a.body, `"id":"a"`) {
		t.Errorf("an old since is not answered from the beginning: %s", a.body)
	}
	c.nodes["b"].admin(201, "PUT", "/db1/later", `{}`)
	// The configuration names no other nodes any more: it goes on by itself.
	for _, n := range c.nodes {
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Cluster = nil
	if _, err := bigcouch.Recover(cfg, []uint16{1}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("one shard of a node by itself is recovered")
	}
	if _, err := bigcouch.Recover(cfg, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if r, err := bigcouch.Verify(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	start(t, c.dirs["c"]).admin(201, "PUT", "/db1/alone", `{}`)
}
