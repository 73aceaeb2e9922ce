package soledad_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// union is the rule of the type "set": a set of letters, which only grows, so
// that nothing anybody added may be missing in the end.
func union(mine, theirs soledad.Doc) (soledad.Doc, error) {
	letters := slices.Concat(mine.Body, theirs.Body)
	slices.Sort(letters)
	return soledad.Doc{Body: slices.Compact(letters)}, nil
}

// A fleet is a user's devices; a nil store is switched off.
type fleet struct {
	w     *world
	dir   string
	key   [32]byte
	paths []string
	on    []*soledad.Store
	index []map[string]string // What a hook of each device has seen.
	grown map[string]bool     // "id letter" of all that was ever added to a set.
}

func (f *fleet) start(t *rapid.T, tb testing.TB, i int) {
	s, err := soledad.Open(tb.Context(), f.paths[i], f.key)
	if err != nil {
		t.Fatal(err)
	}
	s.Merge("set", union)
	f.index[i] = map[string]string{}
	for _, typ := range []string{"set", "note", "msg"} {
		s.Hook(typ, func(_ *soledad.Tx, d soledad.Doc) error {
			if f.index[i][d.ID] = string(d.Body); d.Deleted {
				delete(f.index[i], d.ID)
			}
			return nil
		})
	}
	// The index of a store that was closed: what it holds.
	for id, body := range all(tb, s, "set", "note", "msg") {
		f.index[i][id] = body
	}
	f.on[i] = s
}

func (f *fleet) stop(t *rapid.T, i int) {
	if f.on[i] == nil {
		return
	}
	if err := f.on[i].Close(); err != nil {
		t.Fatal(err)
	}
	f.on[i] = nil
}

// change makes a random change on device i.
func (f *fleet) change(t *rapid.T, tb testing.TB, i int) {
	typ := rapid.SampledFrom([]string{"set", "note", "msg"}).Draw(t, "type")
	id := fmt.Sprintf("%s/%d", typ, rapid.IntRange(0, 3).Draw(t, "id"))
	letter := rapid.StringMatching("[a-h]").Draw(t, "letter")
	err := f.on[i].Update(tb.Context(), func(tx *soledad.Tx) error {
		d, err := tx.Get(id)
		missing := errors.Is(err, problem.NotExist)
		switch {
		case err != nil && !missing:
			return err
		case typ == "set":
			f.grown[id+" "+letter] = true
			u, _ := union(d, soledad.Doc{Body: []byte(letter)})
			return tx.Put(soledad.Doc{ID: id, Body: u.Body})
		case typ == "msg": // The same on every device; some are large.
			return tx.Put(soledad.Doc{ID: id, Body: bytes.Repeat([]byte(id), 1+20_000*(len(id)%2))})
		case !missing && letter == "a":
			return tx.Delete(id)
		}
		return tx.Put(soledad.Doc{ID: id, Body: []byte(letter)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDevicesConverge lets two or three devices change, synchronise, break off
// and restart in any order. In the end all have the same, nothing that anybody
// added to a set is lost, and each device's index agrees with its documents.
func TestDevicesConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		f := &fleet{w: startWorld(t), dir: dir, key: [32]byte{9}, grown: map[string]bool{}}
		defer f.w.Close()
		n := rapid.IntRange(2, 3).Draw(rt, "devices")
		f.on, f.index = make([]*soledad.Store, n), make([]map[string]string, n)
		for i := range n {
			f.paths = append(f.paths, filepath.Join(dir, fmt.Sprint(i)))
			f.start(rt, t, i)
		}
		defer func() {
			for i := range n {
				f.stop(rt, i)
			}
		}()
		for range rapid.IntRange(5, 30).Draw(rt, "steps") {
			i := rapid.IntRange(0, n-1).Draw(rt, "device")
			switch rapid.SampledFrom([]string{"change", "change", "change", "sync", "sync", "break", "restart"}).Draw(rt, "step") {
			case "change":
				f.change(rt, t, i)
			case "sync":
				if _, err := f.on[i].Sync(t.Context(), f.w.Remote(alice), f.w.keys); err != nil {
					rt.Fatalf("device %d: %v", i, err)
				}
			case "break": // The connection is cut at some request.
				left := rapid.IntRange(0, 4).Draw(rt, "requests")
				f.w.Fault(func(http.ResponseWriter, *http.Request) bool {
					if left--; left < 0 {
						panic(http.ErrAbortHandler)
					}
					return false
				})
				_, err := f.on[i].Sync(t.Context(), f.w.Remote(alice), f.w.keys)
				f.w.Fault(nil)
				if err != nil && !errors.Is(err, problem.Unavailable) {
					rt.Fatalf("device %d, connection cut: %v", i, err)
				}
			case "restart":
				f.stop(rt, i)
				f.start(rt, t, i)
			}
		}
		for range 2 { // Once to send everything, once to get it.
			for i := range n {
				if _, err := f.on[i].Sync(t.Context(), f.w.Remote(alice), f.w.keys); err != nil {
					rt.Fatal(err)
				}
			}
		}
		f.check(rt, t)
	})
}

func (f *fleet) check(rt *rapid.T, tb testing.TB) {
	want := all(tb, f.on[0], "set", "note", "msg")
	for i, s := range f.on {
		docs := all(tb, s, "set", "note", "msg")
		if d := cmp.Diff(want, docs); d != "" {
			rt.Fatalf("device %d differs from device 0: %s", i, d)
		}
		if d := cmp.Diff(docs, f.index[i]); d != "" {
			rt.Fatalf("device %d: the hooks saw something else: %s", i, d)
		}
		if n := pending(tb, s); n != 0 {
			rt.Fatalf("device %d has %d pending", i, n)
		}
		q, err := s.Quarantine(tb.Context())
		if err != nil || len(q) > 0 {
			rt.Fatalf("device %d has quarantined %v, %v", i, q, err)
		}
	}
	for what := range f.grown {
		id, letter, _ := strings.Cut(what, " ")
		if !strings.Contains(want[id], letter) {
			rt.Fatalf("%s was added to %s and is lost: %q", letter, id, want[id])
		}
	}
}

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
		f(a)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	with(func(a *soledad.Store) {
		put(t, a, "note/1", "one")
		put(t, a, "note/2", "two")
		w.sync(t, a)
		put(t, a, "note/1", "not yet sent")
	})
	copyFile(t, path, path+".backup")
	replica := ""
	with(func(a *soledad.Store) {
		put(t, a, "note/2", "after the backup")
		put(t, a, "note/3", "three")
		w.sync(t, a)
		replica = a.Replica()
	})
	w.sync(t, b)
	copyFile(t, path+".backup", path)
	with(func(a *soledad.Store) {
		// The same generation and the same counter as above, but another text.
		put(t, a, "note/2", "after the restore")
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
		if d := cmp.Diff(all(t, b, "note"), all(t, a, "note")); d != "" {
			t.Error(d)
		}
		got := all(t, a, "note")
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
	var ids []string
	w.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Content-Type") == u1db.SyncPut {
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

func TestOpenKeyringRefuses(t *testing.T) {
	k, err := soledad.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrap := newKey(t)
	doc, err := k.Seal(rand.Reader, wrap)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := soledad.OpenKeyring(doc, newKey(t)); !errors.Is(err, soledad.ErrWrap) {
		t.Errorf("another key: %v", err)
	}
	back, err := soledad.OpenKeyring(doc, wrap)
	if err != nil || back.Epoch() != 1 {
		t.Errorf("the right key: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"v":2}`, `{"v":1,"wraps":["AAAA"]}`, strings.Replace(string(doc), `"sealed":"`, `"sealed":"AAAA`, 1)} {
		if _, err := soledad.OpenKeyring([]byte(bad), wrap); err == nil {
			t.Errorf("%.40q opens", bad)
		}
	}
}

func FuzzOpenKeyring(f *testing.F) {
	f.Add([]byte(`{"v":1,"wraps":[],"sealed":""}`))
	f.Add([]byte(`{"v":1,"wraps":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],"sealed":"AAAA"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if k, err := soledad.OpenKeyring(doc, [32]byte{1}); err == nil {
			t.Errorf("opened: %v", k.Epoch())
		}
	})
}
