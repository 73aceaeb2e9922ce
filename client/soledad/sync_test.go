package soledad_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/u1db"
)

const alice = "a11ce"

// A world is a server with one user and her keyring.
type world struct {
	*soledadtest.Server
	keys *soledad.Keyring
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := startWorld(tb)
	tb.Cleanup(w.Close)
	return w
}

// startWorld is newWorld for whoever closes it himself.
func startWorld(tb testing.TB) *world {
	tb.Helper()
	keys, err := soledad.NewKeyring(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{soledadtest.NewServer(), keys}
	w.AddUser(alice, "token")
	return w
}

func (w *world) sync(tb testing.TB, s *soledad.Store) soledad.Result {
	tb.Helper()
	res, err := s.Sync(tb.Context(), w.Remote(alice), w.keys)
	if err != nil {
		tb.Fatalf("sync: %v", err)
	}
	return res
}

// all returns the documents of a store, by id.
func all(tb testing.TB, s *soledad.Store, types ...string) map[string]string {
	tb.Helper()
	docs := map[string]string{}
	err := s.View(tb.Context(), func(tx *soledad.Tx) error {
		for _, typ := range types {
			err := tx.Each(typ, func(d soledad.Doc) error {
				docs[d.ID] = string(d.Body)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return docs
}

func remove(tb testing.TB, s *soledad.Store, id string) {
	tb.Helper()
	if err := s.Update(tb.Context(), func(tx *soledad.Tx) error { return tx.Delete(id) }); err != nil {
		tb.Fatalf("deleting %s: %v", id, err)
	}
}

func pending(tb testing.TB, s *soledad.Store) int {
	tb.Helper()
	n, err := s.Pending(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func confirmed(tb testing.TB, s *soledad.Store, ids ...string) bool {
	tb.Helper()
	ok, err := s.Confirmed(tb.Context(), ids...)
	if err != nil {
		tb.Fatal(err)
	}
	return ok
}

func TestTwoDevices(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	put(t, a, "msg/1", "one")
	put(t, a, "msg/2", "two")
	put(t, a, "msg/2", "deux")
	if confirmed(t, a, "msg/1") || pending(t, a) != 2 {
		t.Error("confirmed before any sync")
	}
	res := w.sync(t, a)
	if d := cmp.Diff(soledad.Result{Pushed: 2, Generation: 2}, res); d != "" {
		t.Errorf("first sync of a: %s", d)
	}
	if !confirmed(t, a, "msg/1", "msg/2") || pending(t, a) != 0 {
		t.Error("not confirmed after the sync")
	}
	res = w.sync(t, b)
	if d := cmp.Diff(soledad.Result{Pulled: 2, Generation: 2}, res); d != "" {
		t.Errorf("first sync of b: %s", d)
	}
	remove(t, b, "msg/1")
	put(t, b, "msg/3", "three")
	w.sync(t, b)
	w.sync(t, a)
	want := map[string]string{"msg/2": "deux", "msg/3": "three"}
	for name, s := range map[string]*soledad.Store{"a": a, "b": b} {
		if d := cmp.Diff(want, all(t, s, "msg")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if n := pending(t, s); n != 0 {
			t.Errorf("%s: %d pending", name, n)
		}
	}
	if res := w.sync(t, a); res != (soledad.Result{Generation: 4}) {
		t.Errorf("a sync with nothing to do: %+v", res)
	}
	if confirmed(t, a, "msg/none") {
		t.Error("an unknown document is confirmed")
	}
	if !confirmed(t, a, "msg/1") {
		t.Error("a deletion is not confirmed")
	}
}

func TestTheServerReadsNothing(t *testing.T) {
	w := newWorld(t)
	a := fresh(t)
	put(t, a, "msg/canary-id", "canary-body")
	put(t, a, "canary-type/x", "x")
	put(t, a, "msg/large", strings.Repeat("canary-blob ", 20_000))
	doc, err := w.keys.Seal(rand.Reader, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Remote(alice).StoreKeyring(t.Context(), doc, ""); err != nil {
		t.Fatal(err)
	}
	w.sync(t, a)
	var everything bytes.Buffer
	for _, d := range w.Documents(alice) {
		fmt.Fprintln(&everything, d)
	}
	for id, b := range w.Blobs(alice) {
		fmt.Fprintln(&everything, id, string(b))
	}
	if len(w.Blobs(alice)) != 1 || len(w.Documents(alice)) != 4 {
		t.Fatalf("the server has %d documents and %d blobs, want 4 and 1", len(w.Documents(alice)), len(w.Blobs(alice)))
	}
	if strings.Contains(everything.String(), "canary") {
		t.Error("the server can read the canary")
	}
}

func TestConflictLastWriter(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	put(t, a, "note/1", "base")
	w.sync(t, a)
	w.sync(t, b)
	put(t, a, "note/1", "from a")
	put(t, b, "note/1", "from b")
	put(t, b, "note/1", "from b, again")
	w.sync(t, a)
	res := w.sync(t, b)
	if res.Merged != 1 || res.Pushed != 2 {
		t.Errorf("b's sync: %+v, want one merge that was pushed", res)
	}
	w.sync(t, a)
	for name, s := range map[string]*soledad.Store{"a": a, "b": b} {
		if got := get(t, s, "note/1"); got != "from b, again" {
			t.Errorf("%s has %q", name, got)
		}
		if pending(t, s) != 0 {
			t.Errorf("%s has something pending", name)
		}
	}
}

func TestConflictRuleThatAsks(t *testing.T) {
	w := newWorld(t)
	path, key := filepath.Join(t.TempDir(), "b.db"), newKey(t)
	a := fresh(t)
	b, err := soledad.Open(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	ask := errors.New("ask the user")
	b.Merge("pin", func(_, _ soledad.Doc) (soledad.Doc, error) { return soledad.Doc{}, ask })
	put(t, a, "pin/1", "mine")
	put(t, b, "pin/1", "theirs")
	w.sync(t, a)
	w.sync(t, b)
	if got := get(t, b, "pin/1"); got != "mine" {
		t.Errorf("in force is %q, want the server's version", got)
	}
	if pending(t, b) != 1 || confirmed(t, b, "pin/1") {
		t.Errorf("pending %d, confirmed %v", pending(t, b), confirmed(t, b, "pin/1"))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	// The displaced version outlives the process; the user has decided now.
	b = open(t, path, key)
	b.Merge("pin", func(mine, theirs soledad.Doc) (soledad.Doc, error) {
		return soledad.Doc{Body: append(append(theirs.Body, '+'), mine.Body...)}, nil
	})
	if res := w.sync(t, b); res.Merged != 1 {
		t.Errorf("second sync: %+v", res)
	}
	w.sync(t, a)
	if x, y := get(t, a, "pin/1"), get(t, b, "pin/1"); x != "mine+theirs" || y != x {
		t.Errorf("a has %q, b has %q", x, y)
	}
	if pending(t, b) != 0 {
		t.Error("still pending")
	}
}

func TestEqualBodiesMergeQuietly(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	b.Merge("msg", func(_, _ soledad.Doc) (soledad.Doc, error) {
		t.Error("the rule is asked")
		return soledad.Doc{}, errors.New("asked")
	})
	put(t, a, "msg/q1", "drained twice")
	put(t, b, "msg/q1", "drained twice")
	w.sync(t, a)
	w.sync(t, b)
	w.sync(t, a)
	if pending(t, a)+pending(t, b) != 0 || get(t, a, "msg/q1") != "drained twice" {
		t.Error("did not converge")
	}
	if n := len(w.Documents(alice)); n != 1 {
		t.Errorf("%d documents", n)
	}
}

func TestBadDocumentsAreQuarantined(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	put(t, a, "msg/1", "one")
	put(t, a, "msg/2", "two")
	put(t, a, "msg/3", "three")
	w.sync(t, a)
	docs := w.Documents(alice)
	// A revision swapped, a document under another's id, a deletion without
	// seal, clear text, the server's own hand in a revision.
	w.Forge(alice, u1db.Document{ID: docs[0].ID, Rev: "ffff:7", Content: docs[0].Content})
	w.Forge(alice, u1db.Document{ID: "D-00112233445566778899aabbccddeeff", Rev: docs[1].Rev, Content: docs[1].Content})
	w.Forge(alice, u1db.Document{ID: docs[2].ID, Rev: docs[2].Rev + "|ffff:1"})
	w.Forge(alice, u1db.Document{ID: "D-clear", Rev: "ffff:1", Content: `{"incoming": true}`})
	w.Forge(alice, u1db.Document{ID: "D-badrev", Rev: "ffff:01", Content: docs[1].Content})
	res := w.sync(t, b)
	if res.Quarantined != 5 || res.Pulled != 1 {
		t.Errorf("result %+v, want 5 in quarantine and msg/2 pulled", res)
	}
	q, err := b.Quarantine(t.Context())
	if err != nil || len(q) != 5 {
		t.Errorf("quarantine: %v, %v", q, err)
	}
	w.sync(t, a)
	if d := cmp.Diff(map[string]string{"msg/1": "one", "msg/2": "two", "msg/3": "three"}, all(t, a, "msg")); d != "" {
		t.Errorf("a, which had them, lost documents: %s", d)
	}
	// A good version of one of them lifts its quarantine.
	w.Forge(alice, docs[0])
	w.sync(t, b)
	if get(t, b, "msg/1") != "one" {
		t.Error("the good version is not taken")
	}
}

// TestAContradictionIsNoAcknowledgement: the server answers our change with a
// version that does not open. It has not taken ours.
func TestAContradictionIsNoAcknowledgement(t *testing.T) {
	w := newWorld(t)
	a := fresh(t)
	put(t, a, "msg/1", "one")
	w.sync(t, a)
	d := w.Documents(alice)[0]
	put(t, a, "msg/1", "two")
	w.Forge(alice, u1db.Document{ID: d.ID, Rev: "ffff:9", Content: d.Content})
	for range 2 {
		w.sync(t, a)
		if confirmed(t, a, "msg/1") || pending(t, a) != 1 {
			t.Error("confirmed")
		}
	}
}

// TestWhatTheSealSays reads the headers of documents: writer, generation, and
// the versions replaced.
func TestWhatTheSealSays(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	sums := func(bodies ...string) (all [][32]byte) {
		for _, body := range bodies {
			all = append(all, sha256.Sum256([]byte(body)))
		}
		return all
	}
	check := func(want envelope.DocHeader, rev string) {
		t.Helper()
		d := w.Documents(alice)[0]
		h, err := w.keys.Header(alice, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, h); diff != "" || d.Rev != rev {
			t.Errorf("revision %s, want %s; header %s", d.Rev, rev, diff)
		}
	}
	revision := func(na, nb int) string {
		x, y := fmt.Sprintf("%s:%d", a.Replica(), na), fmt.Sprintf("%s:%d", b.Replica(), nb)
		return strings.Join(slices.Sorted(slices.Values([]string{x, y})), "|")
	}
	put(t, a, "note/1", "one")
	w.sync(t, a)
	h := envelope.DocHeader{Type: "note", LocalID: "note/1", Dev: a.Replica(), Gen: 1}
	check(h, a.Replica()+":1")
	w.sync(t, b)
	put(t, a, "note/1", "draft") // Nobody else sees this one.
	put(t, a, "note/1", "two")
	w.sync(t, a)
	h.Gen, h.Prev = 3, sums("one")
	check(h, a.Replica()+":3")
	put(t, b, "note/1", "deux")
	put(t, b, "note/1", "trois")
	w.sync(t, b) // b's log: received one, two changes, received two, the merge.
	check(envelope.DocHeader{Type: "note", LocalID: "note/1", Dev: b.Replica(), Gen: 5, Prev: sums("two", "trois")}, revision(3, 3))
	w.sync(t, a)
	remove(t, a, "note/1")
	w.sync(t, a)
	merged := get(t, b, "note/1")
	check(envelope.DocHeader{Type: "note", LocalID: "note/1", Dev: a.Replica(), Gen: 5, Deleted: true, Prev: sums(merged)}, revision(4, 3))
}

func TestAHookThatFailsQuarantines(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	put(t, a, "msg/bad", "bad")
	put(t, a, "msg/good", "good")
	w.sync(t, a)
	fail := true
	b.Hook("msg", func(tx *soledad.Tx, d soledad.Doc) error {
		if err := tx.LocalPut("index", d.ID, d.Body); err != nil {
			return err
		}
		if fail && d.ID == "msg/bad" {
			return errors.New("cannot index this")
		}
		return nil
	})
	if res := w.sync(t, b); res.Quarantined != 1 || res.Pulled != 1 {
		t.Errorf("result %+v", res)
	}
	index := map[string]string{}
	err := b.View(t.Context(), func(tx *soledad.Tx) error {
		return tx.LocalEach("index", func(k string, v []byte) error { index[k] = string(v); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"msg/good": "good"}, index); d != "" {
		t.Errorf("the index keeps what was undone: %s", d)
	}
	fail = false
	w.sync(t, b)
	if get(t, b, "msg/bad") != "bad" {
		t.Error("not taken when the hook allows it")
	}
	err = b.Update(t.Context(), func(tx *soledad.Tx) error {
		fail = true
		return tx.Put(soledad.Doc{ID: "msg/bad", Body: []byte("mine")})
	})
	if err == nil || get(t, b, "msg/bad") != "bad" {
		t.Errorf("a local change passed a failing hook: %v", err)
	}
}

func TestAnUnknownEpochWaitsForTheKeyring(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	wrap := newKey(t)
	old, err := w.keys.Seal(rand.Reader, wrap)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.AddEpoch(rand.Reader); err != nil {
		t.Fatal(err)
	}
	newer, err := w.keys.Seal(rand.Reader, wrap)
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, "msg/1", "under epoch 2")
	w.sync(t, a)
	sync := func(doc []byte) (soledad.Result, error) {
		k, err := soledad.OpenKeyring(doc, wrap)
		if err != nil {
			t.Fatal(err)
		}
		return b.Sync(t.Context(), w.Remote(alice), k)
	}
	if res, err := sync(old); err != nil || res.Quarantined != 1 {
		t.Errorf("with the old keyring: %+v, %v", res, err)
	}
	if res, err := sync(newer); err != nil || res.Pulled != 1 || get(t, b, "msg/1") != "under epoch 2" {
		t.Errorf("with the new keyring: %+v, %v", res, err)
	}
	if _, err := sync(old); !errors.Is(err, soledad.ErrRollback) {
		t.Errorf("the old keyring again: %v", err)
	}
}

func BenchmarkSync2K(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		x, y := fresh(b), fresh(b)
		putMany(b, x, n, string(make([]byte, 2048)))
		b.StartTimer()
		start := time.Now()
		w.sync(b, x)
		pushed := time.Since(start)
		w.sync(b, y)
		b.ReportMetric(n/pushed.Seconds(), "push/s")
		b.ReportMetric(n/(time.Since(start)-pushed).Seconds(), "pull/s")
	}
}
