package bigcouch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/backup"
	"leap.example/services/bigcouch/store"
)

// An operator has the key of backups.
type operator struct{ id *age.X25519Identity }

func newOperator(t testing.TB) operator {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return operator{id}
}

// backup takes a backup of a node.
func (o operator) backup(n *node) []byte {
	n.t.Helper()
	body, status := o.take(n, fmt.Sprintf(`{"recipients":[%q]}`, o.id.Recipient()))
	if status != http.StatusOK {
		n.t.Fatalf("backup: %d %s", status, body)
	}
	return body
}

func (o operator) take(n *node, in string) ([]byte, int) {
	n.t.Helper()
	req, err := http.NewRequest("POST", n.url+"/_node/_local/_backup", strings.NewReader(in))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("admin", password)
	resp, err := n.hc.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if resp.StatusCode == http.StatusOK && resp.Trailer.Get(bigcouch.BackupSumTrailer) != hex.EncodeToString(sum[:]) {
		n.t.Fatalf("trailer %v, want %x", resp.Trailer, sum)
	}
	return data, resp.StatusCode
}

// restore restores backups below dir.
func (o operator) restore(t testing.TB, dir string, backups [][]byte, change ...func(*bigcouch.Config)) (*bigcouch.Restored, error) {
	t.Helper()
	cfg := config(t, dir)
	for _, f := range change {
		f(&cfg)
	}
	var from []bigcouch.BackupSource
	for i, b := range backups {
		from = append(from, bigcouch.BackupSource{Name: fmt.Sprint("backup ", i), Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b)), nil
		}})
	}
	return bigcouch.Restore(t.Context(), cfg, from, []age.Identity{o.id}, nil, slog.New(slog.DiscardHandler))
}

// contents returns a digest of what a client can read of all databases: all
// documents with all leaves, their histories and attachments, local documents,
// and security objects.
func (n *node) contents() map[string]string {
	n.t.Helper()
	var names []string
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/_all_dbs", "").body), &names); err != nil {
		n.t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		h := sha256.New()
		var rows struct {
			Rows []struct{ ID string }
		}
		for _, list := range []string{"_changes?style=all_docs", "_all_docs", "_local_docs"} {
			body := n.admin(200, "GET", "/"+name+"/"+list, "").plain()
			fmt.Fprintln(h, strings.ReplaceAll(body, `"pending":0`, ""))
		}
		body := strings.ReplaceAll(n.admin(200, "GET", "/"+name+"/_changes", "").body, `"results"`, `"rows"`)
		if err := json.Unmarshal([]byte(body), &rows); err != nil {
			n.t.Fatal(err)
		}
		for _, row := range rows.Rows {
			fmt.Fprintln(h, row.ID, n.admin(200, "GET", "/"+name+"/"+row.ID+"?open_revs=all&revs=true&attachments=true", "").body)
		}
		if err := json.Unmarshal([]byte(n.admin(200, "GET", "/"+name+"/_local_docs?include_docs=true", "").body), &rows); err != nil {
			n.t.Fatal(err)
		}
		fmt.Fprintln(h, rows, n.admin(200, "GET", "/"+name+"/_security", "").body)
		all[name] = hex.EncodeToString(h.Sum(nil)[:8])
	}
	return all
}

// furnish writes some of everything.
func (n *node) furnish(dbs int) {
	n.t.Helper()
	for i := range dbs {
		db := fmt.Sprintf("/db%d", i)
		n.admin(201, "PUT", db, "")
		n.admin(201, "POST", db+"/_bulk_docs", `{"docs":[{"_id":"a","n":1},{"_id":"b","n":2},{"_id":"gone"}]}`)
		rev := n.admin(200, "GET", db+"/gone", "").header.Get("ETag")
		n.admin(200, "DELETE", db+"/gone?rev="+strings.Trim(rev, `"`), "")
		n.admin(201, "POST", db+"/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"c","_rev":"2-x","_revisions":{"start":2,"ids":["x","r"]}},{"_id":"c","_rev":"2-y","_revisions":{"start":2,"ids":["y","r"]},"m":1}]}`)
		rev = n.admin(201, "PUT", db+"/att", `{}`).rev(n.t)
		n.admin(201, "PUT", db+"/att/file?rev="+rev, strings.Repeat(fmt.Sprint(i), 300_000), "Content-Type: x/y")
		n.admin(201, "PUT", db+"/_local/l", `{"l":1}`)
		n.admin(200, "POST", db+"/_index", `{"index":{"fields":["n"]}}`)
		n.admin(200, "PUT", db+"/_security", `{"members":{"names":["webapp"]}}`)
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, dir)
	n.furnish(5)
	want := n.contents()
	var feed struct {
		Last string `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/db1/_changes", "").body), &feed); err != nil {
		t.Fatal(err)
	}
	op := newOperator(t)
	b := op.backup(n)
	if bytes.Contains(b, []byte("att")) {
		t.Error("the backup can be read")
	}
	n.admin(201, "PUT", "/db0/later", `{}`)
	to := t.TempDir()
	done, err := op.restore(t, to, [][]byte{b})
	if err != nil {
		t.Fatal(err)
	}
	if !done.Report.OK() || len(done.Report.Notes) > 0 || done.Report.Databases != 5 || len(done.Shards) != 9 {
		t.Errorf("restored %+v, %v", done, done.Report)
	}
	if _, err := op.restore(t, to, [][]byte{b}); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("over a store: %v", err)
	}
	r := start(t, to)
	if got := r.contents(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if a := r.admin(200, "GET", "/db1/_changes?since="+feed.Last, ""); !strings.Contains(a.body, `"id":"a"`) {
		t.Errorf("an old since is not answered from the beginning: %s", a.body)
	}
	if a := r.admin(200, "POST", "/db1/_find", `{"selector":{"n":{"$gt":1}}}`); !strings.Contains(a.body, `"b"`) {
		t.Errorf("index: %s", a.body)
	}
	r.admin(201, "PUT", "/db0/later", `{"n":2}`)
	// Restored once more: a sequence of the first restored node is foreign to the second.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := bigcouch.Verify(t.Context(), config(t, to), nil, slog.New(slog.DiscardHandler))
	if err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// A backup that is cut, changed, or not for this key restores nothing, and what
// is left of the attempt does not open.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.furnish(1)
	op := newOperator(t)
	b := op.backup(n)
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"cut", b[:len(b)-1], backup.ErrMalformed},
		{"half", b[:len(b)/2], backup.ErrMalformed},
		{"longer", append(bytes.Clone(b), 0), backup.ErrMalformed},
		{"changed", func() []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }(), backup.ErrMalformed},
		{"other header", bytes.Replace(b, []byte(`"node":"b`), []byte(`"node":"B`), 1), backup.ErrMalformed},
		{"other version", bytes.Replace(b, []byte("backup 1\n"), []byte("backup 2\n"), 1), backup.ErrVersion},
		{"for another", newOperator(t).backup(n), backup.ErrIdentity},
		{"nothing", nil, backup.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := op.restore(t, dir, [][]byte{tt.b}); !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			cfg := config(t, dir)
			if _, err := os.Stat(filepath.Join(cfg.Dir, "RESTORING")); err == nil {
				s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "restore again") {
					t.Errorf("what is left opens: %v", err)
				}
			}
			if _, err := op.restore(t, dir, [][]byte{b}); err != nil {
				t.Errorf("again, whole: %v", err)
			}
		})
	}
	for _, tt := range []struct {
		in     string
		status int
	}{
		{`{}`, 400}, {`{"recipients":[]}`, 400}, {`{"recipients":["age1x"]}`, 400}, {`{"recipients":7}`, 400}, {`[]`, 400},
	} {
		if body, status := op.take(n, tt.in); status != tt.status {
			t.Errorf("%s: %d %s", tt.in, status, body)
		}
	}
	if got := n.do("webapp", "POST", "/_node/_local/_backup", `{"recipients":["`+op.id.Recipient().String()+`"]}`); got.status != http.StatusUnauthorized {
		t.Errorf("no administrator: %d", got.status)
	}
}

// Three nodes are backed up, one by one, and come back as a fresh cluster.
func TestRestoreCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	c.nodes["b"].furnish(6)
	want := c.nodes["b"].contents() // Who has written there reads it there; others may be late.
	op := newOperator(t)
	all := [][]byte{op.backup(c.nodes["a"]), op.backup(c.nodes["c"])}
	for _, n := range c.nodes {
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for name := range c.dirs {
		c.dirs[name] = t.TempDir()
	}
	done, err := op.restore(t, c.dirs["b"], all, c.with("b"))
	if err != nil || !done.Report.OK() {
		t.Fatalf("%+v, %v", done, err)
	}
	c.start(c.names...)
	c.ready(c.names...)
	for _, name := range c.names {
		poll(t, func() bool { return c.nodes[name].do("admin", "GET", "/db0/a?r=2", "").status == 200 })
	}
	got := c.nodes["a"].contents()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	c.nodes["c"].admin(201, "PUT", "/db0/later", `{}`)
	// The same on a node by itself.
	dir := t.TempDir()
	if _, err := op.restore(t, dir, all); err != nil {
		t.Fatal(err)
	}
	if got := start(t, dir).contents(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("alone: got  %v\nwant %v", got, want)
	}
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, dir)
	n.furnish(1)
	var made struct{ Name string }
	if err := json.Unmarshal([]byte(n.admin(201, "POST", "/_node/_local/_checkpoint", `{}`).body), &made); err != nil {
		t.Fatal(err)
	}
	n.admin(201, "PUT", "/db0/later", `{}`)
	if got := n.admin(200, "GET", "/_node/_local/_checkpoint", "").body; got != fmt.Sprintf(`{"checkpoints":[%q]}`, made.Name) {
		t.Errorf("list: %s", got)
	}
	cfg := config(t, dir)
	cfg.Dir = filepath.Join(cfg.Dir, made.Name)
	r, err := bigcouch.Verify(t.Context(), cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil || !r.OK() || r.Databases != 1 {
		t.Errorf("checkpoint: %+v, %v", r, err)
	}
	n.admin(404, "DELETE", "/_node/_local/_checkpoint/other", "")
	n.admin(404, "DELETE", "/_node/_local/_checkpoint/..", "")
	n.admin(200, "DELETE", "/_node/_local/_checkpoint/"+made.Name, "")
	for range 8 {
		n.admin(201, "POST", "/_node/_local/_checkpoint", `{}`)
	}
	n.admin(412, "POST", "/_node/_local/_checkpoint", `{}`)
	if got := n.do("webapp", "POST", "/_node/_local/_checkpoint", `{}`); got.status != http.StatusUnauthorized {
		t.Errorf("no administrator: %d", got.status)
	}
}
