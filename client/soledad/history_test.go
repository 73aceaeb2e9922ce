package soledad_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// copyFile is the user who copies his disk.
func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// TestOldDisk restores an old copy of a device's disk. It must not use a
// generation or a revision again, and nothing may be lost.
func TestOldDisk(t *testing.T) {
	w := newWorld(t)
	path, key := filepath.Join(t.TempDir(), "a.db"), newKey(t)
	b := fresh(t)
	with := func(f func(a *soledad.Store)) {
		t.Helper()
		a, err := soledad.Open(t.Context(), path, key)
		if err != nil {
			t.Fatal(err)
		}
		a.Merge("set", union)
		f(a)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	with(func(a *soledad.Store) {
		put(t, a, "note/1", "one")
		put(t, a, "note/2", "two")
		put(t, a, "set/1", "a")
		w.sync(t, a)
		put(t, a, "note/1", "not yet sent")
	})
	copyFile(t, path, path+".backup")
	replica := ""
	with(func(a *soledad.Store) {
		put(t, a, "note/2", "after the backup")
		put(t, a, "set/1", "ab")
		put(t, a, "note/3", "three")
		w.sync(t, a)
		replica = a.Replica()
	})
	w.sync(t, b)
	copyFile(t, path+".backup", path)
	with(func(a *soledad.Store) {
		// The same generation and the same counter as above, but another text.
		put(t, a, "note/2", "after the restore")
		put(t, a, "set/1", "ac")
		put(t, a, "note/4", "four")
		res := w.sync(t, a)
		if !res.Renewed || a.Replica() == replica {
			t.Errorf("sync: %+v, replica %s", res, a.Replica())
		}
		if res := w.sync(t, a); res.Renewed || res.Pushed != 0 {
			t.Errorf("next sync: %+v", res)
		}
		w.sync(t, b)
		w.sync(t, a)
		got := all(t, a, "note", "set")
		if d := cmp.Diff(all(t, b, "note", "set"), got); d != "" {
			t.Error(d)
		}
		if got["set/1"] != "abc" {
			t.Errorf("of two versions under one counter %q is left", got["set/1"])
		}
		if got["note/1"] != "not yet sent" || got["note/3"] != "three" || got["note/4"] != "four" || !strings.HasPrefix(got["note/2"], "after the") {
			t.Errorf("documents: %v", got)
		}
		if pending(t, a)+pending(t, b) != 0 {
			t.Error("something is pending")
		}
	})
}

// TestServerGoesBack restores an old copy of the server's database.
func TestServerGoesBack(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	put(t, a, "note/1", "one")
	w.sync(t, a)
	w.sync(t, b)
	restore := w.Snapshot(alice)
	put(t, a, "note/2", "two")
	w.sync(t, a)
	put(t, b, "note/3", "three")
	w.sync(t, b)
	w.sync(t, a)
	restore()
	for name, s := range map[string]*soledad.Store{"a": a, "b": b} {
		if _, err := s.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, soledad.ErrRollback) {
			t.Errorf("%s: %v, want a rollback", name, err)
		}
	}
	put(t, a, "note/1", "uno") // Work goes on.
	for _, s := range []*soledad.Store{a, b} {
		if err := s.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(t, a)
	w.sync(t, b)
	w.sync(t, a)
	want := map[string]string{"note/1": "uno", "note/2": "two", "note/3": "three"}
	c := fresh(t)
	w.sync(t, c)
	for name, s := range map[string]*soledad.Store{"a": a, "b": b, "a new device": c} {
		if d := cmp.Diff(want, all(t, s, "note")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if n := pending(t, s); n != 0 {
			t.Errorf("%s: %d pending", name, n)
		}
	}
	if res := w.sync(t, a); res.Pushed != 0 {
		t.Errorf("a sends again: %+v", res)
	}
}

func TestAnotherDatabase(t *testing.T) {
	w := newWorld(t)
	a := fresh(t)
	put(t, a, "note/1", "one")
	w.sync(t, a)
	w.AddUser(alice, "token") // Made anew.
	_, err := a.Sync(t.Context(), w.Remote(alice), w.keys)
	if !errors.Is(err, soledad.ErrRollback) {
		t.Fatalf("an empty database: %v", err)
	}
	if err := a.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sync(t, a)
	if n := len(w.Documents(alice)); n != 1 {
		t.Errorf("%d documents after reconciling", n)
	}
}

// TestTransactionIDsAreAChain: two stores with the same changes have different
// ids, and the server sees one for each generation.
func TestTransactionIDsAreAChain(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex // Guards ids.
	var ids []string
	w.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Content-Type") == u1db.SyncPut {
			mu.Lock()
			defer mu.Unlock()
			rd, _, err := u1db.NewPutReader(r.Body, 1<<20)
			for err == nil {
				var d u1db.Document
				if d, err = rd.Next(); err == nil {
					ids = append(ids, d.TransID)
				}
			}
			panic(http.ErrAbortHandler)
		}
		return false
	})
	for range 2 {
		s := fresh(t)
		put(t, s, "note/1", "one")
		put(t, s, "note/2", "two")
		for range 2 { // The ids do not depend on when they are asked for.
			if _, err := s.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Unavailable) {
				t.Fatal(err)
			}
			put(t, s, "note/3", "three")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) != 2+3+2+3 {
		t.Fatalf("%d ids: %v", len(ids), ids)
	}
	if ids[0] != ids[2] || ids[1] != ids[3] || ids[5] != ids[7] {
		t.Errorf("ids change: %v", ids)
	}
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 6 {
		t.Errorf("%d different ids, want 6", n)
	}
}
