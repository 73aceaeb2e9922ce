package bigcouch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/store"
	"leap.example/services/daemon"
)

// runOnce runs a server that is expected to fail by itself.
func runOnce(t *testing.T, cfg bigcouch.Config) error {
	t.Helper()
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = s.Run(ctx)
	if ctx.Err() != nil {
		t.Error("the server had to be stopped")
	}
	return err
}

// What was written is there after a restart, and the sequence goes on.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.admin(201, "PUT", "/db", "")
	rev := n.admin(201, "PUT", "/db/a", `{"n":1}`).rev(t)
	n.admin(201, "PUT", "/db/a/f?rev="+rev, strings.Repeat("x", 600_000), "Content-Type: application/octet-stream")
	info := n.admin(200, "GET", "/db", "").body
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	if got := n.admin(200, "GET", "/db", "").body; got != info {
		t.Errorf("info %s, was %s", got, info)
	}
	if a := n.admin(200, "GET", "/db/a/f", ""); len(a.body) != 600_000 {
		t.Errorf("attachment has %d bytes", len(a.body))
	}
	n.admin(201, "PUT", "/db/b", `{}`)
	if got := n.admin(200, "GET", "/db", "").plain(); !strings.Contains(got, `"update_seq":"3"`) {
		t.Errorf("info %s", got)
	}
}

// What a crash leaves half done is finished at the next start.
func TestRecover(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, dir)
	s, err := store.Open(store.Options{Dir: cfg.Dir, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(shard uint16, cmds ...store.Command) {
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
	database := func(name string, id uint64) store.Command {
		return store.CreateDatabase{Database: store.Database{Name: name, ID: id, Shard: 1, RevsLimit: 10, Security: []byte(`{}`)}}
	}
	commit(store.CatalogueShard, database("born", 1), database("dying", 2), database("gone", 3))
	commit(1, store.OpenDatabase{DB: 2}, store.WriteDocs{DB: 2, RevsLimit: 10, Docs: []store.Doc{{ID: "a", Body: []byte("{}")}}},
		store.WriteChunk{DB: 2, Blob: store.BlobID{1}, Data: []byte("orphan")})
	commit(store.CatalogueShard, store.SetState{Name: "dying", DB: 2, State: store.Deleting}, store.SetState{Name: "gone", DB: 3, State: store.Deleting})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n := start(t, dir)
	n.tell([]step{
		{"", "GET", "/_all_dbs", "", "", 200, `["born"]`},
		{"", "PUT", "/born/a", "{}", "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "PUT", "/dying", "", "", 201, okBody},
		{"", "GET", "/dying/a", "", "", 404, missing},
	})
}

// A damaged store ends the server for good: no restart helps.
func TestDamageIsFatal(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, func(c *bigcouch.Config) { c.MemTableBytes = 4 << 20 }) // So that there are tables to damage.
	n.admin(201, "PUT", "/db", "")
	for i := range 50 {
		n.admin(201, "POST", "/db/_bulk_docs", bulkOf(i))
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, dir)
	tables, err := filepath.Glob(filepath.Join(cfg.Dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	for _, name := range tables {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 30; i < len(data)*9/10; i += 4096 {
			data[i] ^= 0xff
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(t.Context(), ln) }()
	// It fails while it opens, or when something is read.
	var got error
	poll(t, func() bool {
		select {
		case got = <-ended:
			return true
		default:
		}
		if s.Check(t.Context()) == nil {
			hit := &node{t: t, url: "http://" + ln.Addr().String(), hc: n.hc}
			hit.tryGet("/db/_all_docs?include_docs=true")
		}
		return false
	})
	n.hc.CloseIdleConnections()
	if !errors.Is(got, daemon.ErrFatal) || !errors.Is(got, store.ErrDamaged) {
		t.Errorf("Serve = %v, want fatal damage", got)
	}
	if err := runOnce(t, cfg); !errors.Is(err, daemon.ErrFatal) {
		t.Errorf("next Run = %v, want fatal", err)
	}
}

func bulkOf(i int) string {
	var b strings.Builder
	b.WriteString(`{"docs":[`)
	for j := range 100 {
		if j > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"_id":"%d-%d","s":%q}`, i, j, strings.Repeat(fmt.Sprint(i*j), 300))
	}
	return b.String() + `]}`
}

func (n *node) tryGet(path string) {
	resp, err := n.hc.Get(strings.Replace(n.url, "http://", "http://admin:"+strings.ReplaceAll(password, " ", "%20")+"@", 1) + path)
	if err != nil {
		return // It may end in the middle.
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func TestLimits(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxDocumentSize, c.MaxRequestSize = 1000, 100_000 })
	n.admin(201, "PUT", "/db", "")
	pack := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	big := `{"s":"` + strings.Repeat("x", 2000) + `"}`
	huge := `{"s":"` + strings.Repeat("x", 200_000) + `"}`
	large := `{"error":"too_large","reason":"the request entity is too large"}`
	n.tell([]step{
		{"", "PUT", "/db/a", big, "", 413, `{"error":"document_too_large","reason":"a"}`},
		{"", "PUT", "/db/_local/a", big, "", 413, `{"error":"document_too_large","reason":"_local/a"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"ok"},{"_id":"a",` + big[1:] + `]}`, "", 201, `[{"ok":true,"id":"ok","rev":"1-x"},{"id":"a","error":"document_too_large","reason":"a"}]`},
		{"", "PUT", "/db/a", huge, "", 413, large},
		{"", "PUT", "/db/a", pack(huge), "Content-Encoding: gzip", 413, large},
		{"", "PUT", "/db/a", pack(`{"n":1}`), "Content-Encoding: gzip", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "PUT", "/db/b", pack(`{"n":1}`)[:20], "Content-Encoding: gzip", 400, `{"error":"bad_request","reason":"Request body could not be read"}`},
		{"", "PUT", "/db/b", `{}`, "Content-Encoding: gzip", 400, `{"error":"bad_request","reason":"Request body is not properly gzipped."}`},
		{"", "PUT", "/db/b", `{}`, "Content-Encoding: identity", 201, `{"ok":true,"id":"b","rev":"1-x"}`},
	})
	a := n.do("admin", "PUT", "/db/"+strings.Repeat("x", 17<<10), `{}`)
	if a.status != 400 {
		t.Errorf("a long id: %d %s", a.status, a.body)
	}
}

// With a full disk writes are refused and reads go on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{}`)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, dir)
	cfg.MinFreeBytes = 1 << 62
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	poll(t, func() bool { err := s.Check(ctx); return err != nil && strings.Contains(err.Error(), "full") })
	full := &node{t: t, url: "http://" + ln.Addr().String(), hc: n.hc}
	const refused = `{"error":"insufficient_storage","reason":"The disk of this node is full"}`
	full.tell([]step{
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x"}`},
		{"", "PUT", "/db/b", "{}", "", 507, refused},
		{"", "PUT", "/db/b/f", "{}", "", 507, refused},
		{"", "PUT", "/db/_local/b", "{}", "", 507, refused},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{}]}`, "", 507, refused},
		{"", "POST", "/db/_index", `{"index":{"fields":["a"]}}`, "", 507, refused},
		{"", "PUT", "/other", "", "", 507, refused},
	})
	n.hc.CloseIdleConnections()
}
