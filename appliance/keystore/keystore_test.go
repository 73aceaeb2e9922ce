package keystore_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"leap.example/appliance/keystore"
	"leap.example/appliance/node"
)

func open(t *testing.T) (*keystore.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestStore(t *testing.T) {
	s, dir := open(t)
	if _, err := s.Get("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing secret: %v", err)
	}
	for _, value := range []string{"old", "new"} {
		if err := s.Put("a", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get("a"); err != nil || string(got) != value {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for path, mode := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "a"): 0o400} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
	made := 0
	for range 2 {
		value, err := s.Ensure("b", func() ([]byte, error) { made++; return []byte("made"), nil })
		if err != nil || string(value) != "made" {
			t.Errorf("ensured %q, %v", value, err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-1"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": node.SecretDigest([]byte("new")), "b": node.SecretDigest([]byte("made"))}
	if got, err := s.Digests(); err != nil || !maps.Equal(got, want) {
		t.Errorf("digests are %v, %v", got, err)
	}
	if err := s.Retain(func(name string) bool { return name == "b" }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestBadNames(t *testing.T) {
	s, _ := open(t)
	for _, name := range []string{"", ".", "..", "../a", "a/b", ".new-1", "a\x00"} {
		if err := s.Put(name, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := s.Put("large", make([]byte, 1<<20+1)); err == nil {
		t.Error("a secret that is too large was taken")
	}
}

// TestEnsureOnce has several ask for a key at once that is not there yet.
func TestEnsureOnce(t *testing.T) {
	for range 20 {
		s, err := keystore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var got [4]string
		var wg sync.WaitGroup
		for k := range got {
			wg.Go(func() {
				v, err := s.Ensure("mesh.key", func() ([]byte, error) { return []byte(rand.Text()), nil })
				if err != nil {
					t.Error(err)
				}
				got[k] = string(v)
			})
		}
		wg.Wait()
		if kept, err := s.Get("mesh.key"); err != nil || got != [4]string{string(kept), string(kept), string(kept), string(kept)} {
			t.Fatalf("they got %q, and kept is %q, %v", got, kept, err)
		}
	}
}
