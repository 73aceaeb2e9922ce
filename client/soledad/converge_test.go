package soledad_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/problem"
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
	fs    *soledadtest.CrashFS // Here it only spares the time of real syncs.
	key   [32]byte
	on    []*soledad.Store
	index []map[string]string // What a hook of each device has seen.
	grown map[string]bool     // "id letter" of all that was ever added to a set.
}

func (f *fleet) start(t *rapid.T, tb testing.TB, i int) {
	s, err := f.fs.Open(tb.Context(), fmt.Sprint(i), f.key)
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
	maps.Copy(f.index[i], all(tb, s, "set", "note", "msg"))
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
		f := &fleet{w: startWorld(t), fs: soledadtest.NewCrashFS(dir, 4096, 0), key: [32]byte{9}, grown: map[string]bool{}}
		defer f.fs.Close()
		defer f.w.Close()
		n := rapid.IntRange(2, 3).Draw(rt, "devices")
		f.on, f.index = make([]*soledad.Store, n), make([]map[string]string, n)
		for i := range n {
			f.start(rt, t, i)
		}
		defer func() {
			for i := range n {
				f.stop(rt, i)
			}
		}()
		for range rapid.IntRange(4, 18).Draw(rt, "steps") {
			i := rapid.IntRange(0, n-1).Draw(rt, "device")
			switch rapid.SampledFrom([]string{"change", "change", "change", "sync", "sync", "break", "restart"}).Draw(rt, "step") {
			case "change":
				f.change(rt, t, i)
			case "sync":
				if _, err := f.on[i].Sync(t.Context(), f.w.Remote(alice), f.w.keys); err != nil {
					rt.Fatalf("device %d: %v", i, err)
				}
			case "break": // The connection is cut at some request.
				var left atomic.Int64
				left.Store(rapid.Int64Range(0, 4).Draw(rt, "requests"))
				f.w.Fault(func(http.ResponseWriter, *http.Request) bool {
					if left.Add(-1) < 0 {
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
