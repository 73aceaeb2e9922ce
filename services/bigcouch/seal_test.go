package bigcouch_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/sealed"
	"leap.example/services/daemon"
)

// withKeys makes a node use these key files, and write tables soon.
func withKeys(files ...string) func(*bigcouch.Config) {
	return func(c *bigcouch.Config) { c.KeyFiles, c.MemTableBytes = files, 256<<10 }
}

// canaries are what must not be found on the disk.
var canaries = []string{"xylophone", "quicksilver", "jabberwocky", "buckminster", "kaleidoscope", "wolfsbane"}

// release writes all canaries to a node, and so much else that tables are made.
func (n *node) release() {
	n.t.Helper()
	n.admin(201, "PUT", "/xylophone", "")
	n.admin(200, "POST", "/xylophone/_index", `{"index":{"fields":["wolfsbane"]}}`)
	rev := n.admin(201, "PUT", "/xylophone/quicksilver", `{"buckminster":"jabberwocky"}`).rev(n.t)
	n.admin(201, "PUT", "/xylophone/quicksilver/f?rev="+rev, "kaleidoscope", "Content-Type: application/octet-stream")
	for i := range 20 {
		n.admin(201, "POST", "/xylophone/_bulk_docs", bulkOf(i))
	}
}

// found returns the canaries in the files below dir.
func found(t *testing.T, dir string) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Compacted meanwhile.
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, c := range canaries {
			if strings.Contains(string(data)+path, c) {
				got[c] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Nothing of what is written is found on a sealed disk. In the clear most of it
// is: compression may hide a word.
func TestNoPlaintext(t *testing.T) {
	for _, tt := range []struct {
		name        string
		keys        []string
		least, most int
	}{{"plain", nil, len(canaries) / 2, len(canaries)}, {"sealed", []string{newKey(t, 1)}, 0, 0}} {
		n := start(t, t.TempDir(), withKeys(tt.keys...))
		n.release()
		running := found(t, filepath.Join(n.dir, "db"))
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
		if tables, err := filepath.Glob(filepath.Join(n.dir, "db", "*.sst")); err != nil || len(tables) == 0 {
			t.Errorf("%s: tables %v, %v", tt.name, tables, err)
		}
		for when, got := range map[string]map[string]bool{"while it ran": running, "afterwards": found(t, filepath.Join(n.dir, "db"))} {
			if len(got) < tt.least || len(got) > tt.most {
				t.Errorf("%s: found %v %s, want %d to %d", tt.name, got, when, tt.least, tt.most)
			}
		}
	}
}

// released fails the test unless what release wrote is there.
func (n *node) released() {
	n.t.Helper()
	if a := n.admin(200, "GET", "/xylophone/quicksilver/f", ""); a.body != "kaleidoscope" {
		n.t.Errorf("the attachment is %q", a.body)
	}
	if a := n.admin(200, "GET", "/xylophone", "").plain(); !strings.Contains(a, `"doc_count":2002`) {
		n.t.Errorf("the database is %s", a)
	}
}

// uses returns the keys of a store in use, as text.
func uses(t *testing.T, dir string, files ...string) string {
	t.Helper()
	cfg := config(t, dir)
	cfg.KeyFiles = files
	list, err := bigcouch.KeysInUse(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, u := range list {
		if u.Current != (len(s) == 0) || len(s) > 0 && u.Files == 0 {
			t.Errorf("use %+v at place %d", u, len(s))
		}
		s = append(s, u.ID.String())
	}
	return strings.Join(s, " ")
}

// A node gets a new key, rewrites what is under the old one while it serves,
// and then does without the old one.
func TestRotation(t *testing.T) {
	dir, first, second := t.TempDir(), newKey(t, 1), newKey(t, 2)
	n := start(t, dir, withKeys(first))
	n.release()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	old := uses(t, dir, first)
	fresh, _, _ := strings.Cut(uses(t, dir, second, first), " ")
	if both := uses(t, dir, second, first); both != fresh+" "+old {
		t.Errorf("before: %s", both)
	}
	n = start(t, dir, withKeys(second, first))
	n.released()
	poll(t, func() bool { return uses(t, dir, second, first) == fresh })
	n.released()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir, withKeys(second))
	n.released()
}

// A store that cannot be read with the keys that are given is not opened, and
// not taken for damaged.
func TestKeyDoesNotFit(t *testing.T) {
	key, other := newKey(t, 1), newKey(t, 2)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, store := range []struct {
		name string
		keys []string
	}{{"sealed", []string{key}}, {"plain", nil}} {
		dir := t.TempDir()
		n := start(t, dir, withKeys(store.keys...))
		n.release()
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name, with string
			keys       []string
			want       error
			says       string
		}{
			{"sealed", "no key", nil, sealed.ErrKey, "add the file of that key to key_files"},
			{"sealed", "another key", []string{other}, sealed.ErrKey, "add the file of that key to key_files"},
			{"sealed", "a missing file", []string{filepath.Join(dir, "none")}, sealed.ErrKey, "put the key of this node back"},
			{"sealed", "a broken file", []string{broken}, sealed.ErrKey, "want 64 lower-case hex digits"},
			{"plain", "a key", []string{key}, sealed.ErrPlain, "leapd couch seal"},
		} {
			if tt.name != store.name {
				continue
			}
			cfg := config(t, dir)
			cfg.KeyFiles = tt.keys
			err := runOnce(t, cfg)
			if !errors.Is(err, daemon.ErrFatal) || !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("%s, with %s: %v", tt.name, tt.with, err)
			}
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("%s, with %s: the error tells what is in the file: %v", tt.name, tt.with, err)
			}
		}
		n = start(t, dir, withKeys(store.keys...))
		n.released()
	}
}

// A damaged header ends the node for good.
func TestDamagedHeader(t *testing.T) {
	dir, key := t.TempDir(), newKey(t, 1)
	n := start(t, dir, withKeys(key))
	n.release()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, dir)
	cfg.KeyFiles = []string{key}
	tables, err := filepath.Glob(filepath.Join(cfg.Dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	data, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1
	if err := os.WriteFile(tables[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runOnce(t, cfg); !errors.Is(err, daemon.ErrFatal) || !errors.Is(err, sealed.ErrDamaged) {
		t.Errorf("Run = %v", err)
	}
}

// A store in the clear is sealed while the node is stopped; a second time
// changes nothing, and a running node is left alone.
func TestSeal(t *testing.T) {
	dir, key := t.TempDir(), newKey(t, 1)
	n := start(t, dir)
	n.release()
	cfg := config(t, dir)
	cfg.KeyFiles = []string{key}
	if _, err := bigcouch.Seal(t.Context(), cfg); err == nil {
		t.Error("the store of a running node was sealed")
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if files, err := bigcouch.Seal(t.Context(), cfg); files == 0 || err != nil {
		t.Fatalf("Seal = %d, %v", files, err)
	}
	if got := found(t, cfg.Dir); len(got) > 0 {
		t.Errorf("found %v", got)
	}
	if files, err := bigcouch.Seal(t.Context(), cfg); files != 0 || err != nil {
		t.Errorf("Seal again = %d, %v", files, err)
	}
	n = start(t, dir, withKeys(key))
	n.released()
}
