package soledad_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/soledad"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// TestNothingReadableOnDisk looks for what was stored, in the database and in
// its WAL, while the store is open and after it was closed.
func TestNothingReadableOnDisk(t *testing.T) {
	dir := t.TempDir()
	key := newKey(t)
	s, err := soledad.Open(t.Context(), filepath.Join(dir, "store.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *soledad.Tx) error {
		if _, err := tx.SQL().ExecContext(t.Context(), "CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('the canary-word sings')"); err != nil {
			return err
		}
		if err := tx.LocalPut("bucket-canary", "k", []byte("value canary")); err != nil {
			return err
		}
		return tx.Put(soledad.Doc{ID: "msg/canary", Body: bytes.Repeat([]byte("body of the canary. "), 1000)})
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"canary", "CREATE TABLE", "SQLite format", "msg/", string(key[:8])} {
				if bytes.Contains(b, []byte(word)) {
					t.Errorf("%s: %q can be read in %s", when, word, filepath.Base(f))
				}
			}
		}
	}
	look("open")
	n := 0
	err = s.View(t.Context(), func(tx *soledad.Tx) error {
		return tx.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM words WHERE words MATCH 'sings'").Scan(&n)
	})
	if err != nil || n != 1 {
		t.Errorf("full text search finds %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look("closed")
}

// TestFlippedBits changes one bit in each page in turn: reading everything
// fails, and nothing wrong is ever returned.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "store.db"), newKey(t)
	s, err := soledad.Open(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 3000)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		put(t, s, fmt.Sprintf("msg/%d", i), string(body))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(good)%4096 != 0 || len(good) < 10*4096 {
		t.Fatalf("the file has %d bytes", len(good))
	}
	noticed := 0
	for page := range len(good) / 4096 {
		bad := bytes.Clone(good)
		bad[page*4096+(page*977)%4096] ^= 1 << (page % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := soledad.Open(t.Context(), path, key)
		if err == nil {
			err = s.View(t.Context(), func(tx *soledad.Tx) error {
				return tx.Each("msg", func(d soledad.Doc) error {
					if !bytes.Equal(d.Body, body) {
						t.Errorf("page %d: a wrong body is returned", page)
					}
					return nil
				})
			})
			_ = s.Close() // A checkpoint may fail.
		}
		if err != nil {
			noticed++
		}
	}
	// Pages that this reading does not touch, as those of empty tables, go unnoticed.
	if noticed < 12 {
		t.Errorf("%d of %d flipped bits were noticed", noticed, len(good)/4096)
	}
}

// TestFormatV1 opens a store of version 1, written by an earlier program.
func TestFormatV1(t *testing.T) {
	fixture := filepath.Join("testdata", "v1.db")
	key := [32]byte{1, 2, 3}
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if *update {
		w := newWorld(t)
		s, err := soledad.Open(t.Context(), path, key)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, "msg/1", "one")
		put(t, s, "msg/2", "two")
		w.sync(t, s)
		remove(t, s, "msg/2")
		put(t, s, "msg/3", "three")
		if err := s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.LocalPut("b", "k", []byte("v")) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, fixture); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, key)
	if d := cmp.Diff(map[string]string{"msg/1": "one", "msg/3": "three"}, all(t, s, "msg")); d != "" {
		t.Error(d)
	}
	if pending(t, s) != 2 || !confirmed(t, s, "msg/1") {
		t.Errorf("%d pending", pending(t, s))
	}
	err = s.View(t.Context(), func(tx *soledad.Tx) error {
		v, err := tx.LocalGet("b", "k")
		if string(v) != "v" {
			t.Errorf("local value %q", v)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	put(t, s, "msg/1", "changed") // It can be written, too.
}

func TestStrangePaths(t *testing.T) {
	for _, name := range []string{"with space", "what?vfs=memdb&x=y", "100%25", "#1", "ünï"} {
		path, key := filepath.Join(t.TempDir(), name), newKey(t)
		put(t, open(t, path, key), "msg/1", "x")
		if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewerSchema(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "store.db"), newKey(t)
	s, err := soledad.Open(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *soledad.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "PRAGMA user_version=99")
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := soledad.Open(t.Context(), path, key); !errors.Is(err, soledad.ErrSchema) {
		t.Errorf("version 99: %v", err)
	}
	if _, err := soledad.Open(t.Context(), filepath.Join(t.TempDir(), "no", "such", "directory"), key); err == nil {
		t.Error("opened without a directory")
	}
}
