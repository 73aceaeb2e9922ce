package soledad_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(tb testing.TB) (k [32]byte) {
	tb.Helper()
	if _, err := rand.Read(k[:]); err != nil {
		tb.Fatal(err)
	}
	return k
}

func open(tb testing.TB, path string, key [32]byte) *soledad.Store {
	tb.Helper()
	s, err := soledad.Open(tb.Context(), path, key)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func fresh(tb testing.TB) *soledad.Store {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "store.db"), newKey(tb))
}

func put(tb testing.TB, s *soledad.Store, id, body string) {
	tb.Helper()
	if err := s.Update(tb.Context(), func(tx *soledad.Tx) error { return tx.Put(soledad.Doc{ID: id, Body: []byte(body)}) }); err != nil {
		tb.Fatalf("putting %s: %v", id, err)
	}
}

// putMany puts the documents msg/0000 and on in one transaction.
func putMany(tb testing.TB, s *soledad.Store, n int, body string) {
	tb.Helper()
	err := s.Update(tb.Context(), func(tx *soledad.Tx) error {
		for i := range n {
			if err := tx.Put(soledad.Doc{ID: fmt.Sprintf("msg/%04d", i), Body: []byte(body)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// get returns the body of a document, "-" if there is none.
func get(tb testing.TB, s *soledad.Store, id string) string {
	tb.Helper()
	body := "-"
	err := s.View(tb.Context(), func(tx *soledad.Tx) error {
		d, err := tx.Get(id)
		if err == nil {
			body = string(d.Body)
		}
		return err
	})
	if err != nil && !errors.Is(err, problem.NotExist) {
		tb.Fatalf("getting %s: %v", id, err)
	}
	return body
}

func TestStoreKeepsDocuments(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "store.db"), newKey(t)
	s, err := soledad.Open(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "msg/1", "one")
	put(t, s, "msg/1", "uno")
	put(t, s, "flags/1", "")
	replica := s.Replica()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, key)
	if got := get(t, s, "msg/1"); got != "uno" {
		t.Errorf("after reopening: %q, want uno", got)
	}
	if got := get(t, s, "flags/1"); got != "" {
		t.Errorf("an empty document comes back as %q", got)
	}
	if s.Replica() != replica {
		t.Errorf("the replica uid changed from %s to %s", replica, s.Replica())
	}
}

func TestWrongKeyAndWrongFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s, err := soledad.Open(t.Context(), path, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "msg/1", "one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := soledad.Open(t.Context(), path, newKey(t)); !errors.Is(err, soledad.ErrKey) {
		t.Errorf("another key: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, bytes.Repeat([]byte("hello "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := soledad.Open(t.Context(), other, newKey(t)); !errors.Is(err, soledad.ErrKey) {
		t.Errorf("another file: %v", err)
	}
}

func BenchmarkPut2K(b *testing.B) {
	s := fresh(b)
	n := 0
	for b.Loop() {
		n++
		putMany(b, s, 1000, strings.Repeat(string(rune(n)), 2048)[:2048])
	}
	b.ReportMetric(1000*float64(n)/b.Elapsed().Seconds(), "put/s")
}

func TestTransactions(t *testing.T) {
	s := fresh(t)
	fail := errors.New("changed my mind")
	err := s.Update(t.Context(), func(tx *soledad.Tx) error {
		if err := errors.Join(tx.Put(soledad.Doc{ID: "msg/1", Body: []byte("x")}), tx.LocalPut("b", "k", []byte("v"))); err != nil {
			return err
		}
		return fail
	})
	if err != fail || get(t, s, "msg/1") != "-" {
		t.Errorf("a failed transaction: %v, %q", err, get(t, s, "msg/1"))
	}
	put(t, s, "msg/1", "x")
	err = s.View(t.Context(), func(tx *soledad.Tx) error { return tx.Put(soledad.Doc{ID: "msg/1", Body: []byte("y")}) })
	if err == nil || get(t, s, "msg/1") != "x" {
		t.Errorf("a View wrote: %v", err)
	}
	// A View that began earlier sees the state of then.
	err = s.View(t.Context(), func(tx *soledad.Tx) error {
		before, err := tx.Get("msg/1")
		if err != nil {
			return err
		}
		put(t, s, "msg/1", "meanwhile")
		after, err := tx.Get("msg/1")
		if string(before.Body) != "x" || string(after.Body) != "x" {
			t.Errorf("a View sees %q, then %q", before.Body, after.Body)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(t.Context(), func(tx *soledad.Tx) error {
			_ = tx.Put(soledad.Doc{ID: "msg/1", Body: []byte("panicked")})
			panic("x")
		})
	}()
	if got := get(t, s, "msg/1"); got != "meanwhile" {
		t.Errorf("after a panic: %q", got)
	}
}

func TestDocumentsAreChecked(t *testing.T) {
	s := fresh(t)
	for _, d := range []soledad.Doc{
		{ID: ""},
		{ID: "msg"},
		{ID: "msg/"},
		{ID: "/1"},
		{ID: "msg/\xff"},
		{ID: "msg/" + strings.Repeat("x", 1100)},
		{ID: "msg/1", Type: "flags"},
		{ID: "msg/1", Deleted: true},
	} {
		err := s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.Put(d) })
		if !errors.Is(err, problem.Invalid) {
			t.Errorf("%.20q: %v", d.ID, err)
		}
	}
	err := s.Update(t.Context(), func(tx *soledad.Tx) error {
		return tx.Put(soledad.Doc{ID: "msg/1", Body: make([]byte, 40<<20+1)})
	})
	if !errors.Is(err, problem.Limit) {
		t.Errorf("too large: %v", err)
	}
	for _, id := range []string{"msg/none", "msg/gone"} {
		if id == "msg/gone" {
			put(t, s, id, "x")
			remove(t, s, id)
		}
		err := s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.Delete(id) })
		if !errors.Is(err, problem.NotExist) {
			t.Errorf("deleting %s: %v", id, err)
		}
		if get(t, s, id) != "-" {
			t.Errorf("%s is here", id)
		}
	}
	put(t, s, "msg/gone", "back")
	if get(t, s, "msg/gone") != "back" {
		t.Error("a deleted document cannot come back")
	}
}

func TestRevisionsAndNoChange(t *testing.T) {
	s := fresh(t)
	rev := func() string {
		var d soledad.Doc
		err := s.View(t.Context(), func(tx *soledad.Tx) (err error) { d, err = tx.Get("msg/1"); return err })
		if err != nil {
			t.Fatal(err)
		}
		if d.Type != "msg" || d.Synced || d.Deleted {
			t.Errorf("document %+v", d)
		}
		return d.Rev
	}
	put(t, s, "msg/1", "x")
	first := rev()
	put(t, s, "msg/1", "x")
	if rev() != first {
		t.Error("putting the same is a change")
	}
	put(t, s, "msg/1", "y")
	if first != s.Replica()+":1" || rev() != s.Replica()+":2" {
		t.Errorf("revisions %s and %s", first, rev())
	}
}

func TestEach(t *testing.T) {
	s := fresh(t)
	putMany(t, s, 200, "x")
	put(t, s, "msgs/1", "another type")
	put(t, s, "mbox/1", "another type")
	n := 0
	err := s.Update(t.Context(), func(tx *soledad.Tx) error {
		return tx.Each("msg", func(d soledad.Doc) error {
			if want := fmt.Sprintf("msg/%04d", n); d.ID != want {
				t.Errorf("%s, want %s", d.ID, want)
			}
			if n++; n%2 == 0 {
				return tx.Delete(d.ID)
			}
			return tx.Put(soledad.Doc{ID: d.ID, Body: []byte("y")})
		})
	})
	if err != nil || n != 200 {
		t.Fatalf("%d documents, %v", n, err)
	}
	if got := all(t, s, "msg"); len(got) != 100 || got["msg/0000"] != "y" {
		t.Errorf("%d left", len(got))
	}
	stop := errors.New("stop")
	err = s.Update(t.Context(), func(tx *soledad.Tx) error {
		for i := range 100 {
			if err := tx.LocalPut("b", fmt.Sprintf("%03d", i), nil); err != nil {
				return err
			}
		}
		if err := errors.Join(tx.LocalPut("b", "", []byte("empty key")), tx.LocalPut("c", "x", nil), tx.LocalDelete("c", "none")); err != nil {
			return err
		}
		n = 0
		err := tx.LocalEach("b", func(k string, _ []byte) error { n++; return tx.LocalDelete("b", k) })
		if n != 101 {
			t.Errorf("%d values, want 101", n)
		}
		return errors.Join(err, tx.LocalEach("b", func(string, []byte) error { return errors.New("is not empty") }))
	})
	if err != nil {
		t.Error(err)
	}
	err = s.View(t.Context(), func(tx *soledad.Tx) error {
		if _, err := tx.LocalGet("b", "000"); !errors.Is(err, problem.NotExist) {
			t.Errorf("a deleted value: %v", err)
		}
		return errors.Join(tx.Each("msg", func(soledad.Doc) error { return stop }))
	})
	if !errors.Is(err, stop) {
		t.Errorf("Each goes on after an error: %v", err)
	}
}

func TestHooksAndSubscribers(t *testing.T) {
	s := fresh(t)
	var seen []string
	s.Hook("msg", func(tx *soledad.Tx, d soledad.Doc) error {
		seen = append(seen, fmt.Sprintf("%s %s %v", d.ID, d.Body, d.Deleted))
		if d.Deleted {
			return nil
		}
		return tx.Put(soledad.Doc{ID: "flags/" + strings.TrimPrefix(d.ID, "msg/"), Body: []byte("made by a hook")})
	})
	ch, cancel := s.Subscribe()
	quiet := func(what string) {
		t.Helper()
		select {
		case <-ch:
			t.Errorf("a signal after %s", what)
		default:
		}
	}
	put(t, s, "msg/1", "x")
	put(t, s, "other/1", "x")
	<-ch
	quiet("one value for two commits")
	remove(t, s, "msg/1")
	<-ch
	put(t, s, "other/1", "x")
	quiet("no change")
	if err := s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.LocalPut("b", "k", nil) }); err != nil {
		t.Fatal(err)
	}
	quiet("a local value")
	if err := s.Update(t.Context(), func(tx *soledad.Tx) error {
		return errors.Join(tx.Put(soledad.Doc{ID: "other/2"}), errors.New("undone"))
	}); err == nil {
		t.Error("no error")
	}
	quiet("an undone transaction")
	cancel()
	put(t, s, "other/3", "x")
	quiet("cancel")
	if want := []string{"msg/1 x false", "msg/1  true"}; strings.Join(seen, ",") != strings.Join(want, ",") {
		t.Errorf("the hook saw %q", seen)
	}
	if get(t, s, "flags/1") != "made by a hook" {
		t.Error("the hook's change is lost")
	}
}

func TestManyGoroutines(t *testing.T) {
	s := fresh(t)
	var wg sync.WaitGroup
	for v := range 8 { // Views that write, more of them than there are connections.
		wg.Go(func() {
			err := s.View(t.Context(), func(*soledad.Tx) error {
				return s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.LocalPut("b", fmt.Sprint(v), nil) })
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for w := range 6 {
		wg.Go(func() {
			for i := range 20 {
				id, other := fmt.Sprintf("msg/%d-%d", w, i), fmt.Sprintf("msg/%d-%d", (w+1)%6, i)
				err := s.Update(t.Context(), func(tx *soledad.Tx) error { return tx.Put(soledad.Doc{ID: id}) })
				if err == nil {
					err = s.View(t.Context(), func(tx *soledad.Tx) error { _, err := tx.Get(other); return err })
				}
				if err != nil && !errors.Is(err, problem.NotExist) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(all(t, s, "msg")); n != 120 {
		t.Errorf("%d documents, want 120", n)
	}
}
