package soledad_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/problem"
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

func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	big := strings.Repeat("large body ", 300_000) // 3.3 MB.
	put(t, a, "msg/big", big)
	put(t, a, "msg/small", "small")
	w.sync(t, a)
	w.sync(t, b)
	if got := get(t, b, "msg/big"); got != big {
		t.Errorf("a body of %d bytes comes back with %d", len(big), len(got))
	}
	put(t, b, "msg/big", "now small")
	put(t, b, "msg/two", big) // The same blob, still in use.
	w.sync(t, b)
	if n := len(w.Blobs(alice)); n != 1 {
		t.Errorf("%d blobs, want the one that is still named", n)
	}
	w.sync(t, a)
	if get(t, a, "msg/two") != big || get(t, a, "msg/big") != "now small" {
		t.Error("a does not have b's changes")
	}
	remove(t, a, "msg/two")
	w.sync(t, a)
	if n := len(w.Blobs(alice)); n != 0 {
		t.Errorf("%d blobs after the last deletion", n)
	}
}

func TestBlobComesLater(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	big := strings.Repeat("x", 100_000)
	put(t, a, "msg/big", big)
	put(t, a, "msg/small", "small")
	w.sync(t, a)
	w.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/blobs/") {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if _, err := b.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Unavailable) {
		t.Errorf("sync without blobs: %v, want unavailable", err)
	}
	if get(t, b, "msg/small") != "small" || get(t, b, "msg/big") != "-" {
		t.Error("the small document should be there, the large one not yet")
	}
	w.Fault(nil)
	w.sync(t, b)
	if get(t, b, "msg/big") != big {
		t.Error("the large body did not come later")
	}
	if q, err := b.Quarantine(t.Context()); err != nil || len(q) != 0 {
		t.Errorf("quarantine: %v, %v", q, err)
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

func TestInterruptedExchanges(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	for i := range 600 { // Three batches.
		put(t, a, fmt.Sprintf("msg/%04d", i), strings.Repeat("m", 100))
	}
	posts := 0
	w.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			if posts++; posts == 2 {
				panic(http.ErrAbortHandler)
			}
		}
		return false
	})
	if _, err := a.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Unavailable) {
		t.Fatalf("a cut connection: %v", err)
	}
	if pending(t, a) != 600 {
		t.Errorf("%d pending: nothing is confirmed before the pull is complete", pending(t, a))
	}
	w.Fault(nil)
	if res := w.sync(t, a); res.Pushed != 600-256 || pending(t, a) != 0 {
		t.Errorf("resumed: %+v, %d pending", res, pending(t, a))
	}
	// The answer to b's first pull is cut in the middle.
	w.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.Header.Get("Content-Type") == u1db.SyncGet {
			w.Fault(nil)
			hr := r.Clone(r.Context())
			w.cut(rw, hr, 300_000)
			return true
		}
		return false
	})
	if _, err := b.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Unavailable) {
		t.Errorf("a cut stream: %v", err)
	}
	got := len(all(t, b, "msg"))
	if got == 0 || got == 600 {
		t.Errorf("%d documents of the cut stream are here, want some", got)
	}
	w.sync(t, b)
	if d := cmp.Diff(all(t, a, "msg"), all(t, b, "msg")); d != "" {
		t.Errorf("after resuming: %s", d)
	}
}

// cut forwards a request to the server and passes on n bytes of the answer.
func (w *world) cut(rw http.ResponseWriter, r *http.Request, n int) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, w.URL+r.URL.Path, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	maps.Copy(rw.Header(), resp.Header)
	buf := make([]byte, n)
	for at := 0; at < n; {
		m, err := resp.Body.Read(buf[at:])
		at += m
		if err != nil {
			break
		}
	}
	_, _ = rw.Write(buf)
	panic(http.ErrAbortHandler)
}

func TestNewDeviceGetsTheNewestFirst(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	for i := range 5 {
		put(t, a, fmt.Sprintf("msg/%d", i), "x")
	}
	w.sync(t, a)
	var order []string
	b.Hook("msg", func(_ *soledad.Tx, d soledad.Doc) error { order = append(order, d.ID); return nil })
	w.sync(t, b)
	if d := cmp.Diff([]string{"msg/4", "msg/3", "msg/2", "msg/1", "msg/0"}, order); d != "" {
		t.Errorf("order: %s", d)
	}
	put(t, a, "msg/5", "x")
	put(t, a, "msg/6", "x")
	w.sync(t, a)
	w.sync(t, b)
	if !slices.Equal(order[5:], []string{"msg/5", "msg/6"}) {
		t.Errorf("later changes come as %v", order[5:])
	}
}

func TestErrorsOfTheRemote(t *testing.T) {
	w := newWorld(t)
	a := fresh(t)
	put(t, a, "msg/1", "one")
	wrong := soledad.NewRemote(http.DefaultClient, w.URL, alice, func(context.Context) (string, error) { return "wrong", nil })
	if _, err := a.Sync(t.Context(), wrong, w.keys); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("wrong token: %v", err)
	}
	nobody := soledad.NewRemote(http.DefaultClient, "http://127.0.0.1:1", alice, func(context.Context) (string, error) { return "x", nil })
	if _, err := a.Sync(t.Context(), nobody, w.keys); !errors.Is(err, problem.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
	full := false
	w.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
		if full && r.Header.Get("Content-Type") == u1db.SyncPut {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = rw.Write(u1db.ErrQuota.Body())
			return true
		}
		return false
	})
	b := fresh(t)
	put(t, b, "msg/2", "two")
	w.sync(t, b)
	full = true
	if _, err := a.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Limit) || !errors.Is(err, u1db.ErrQuota) {
		t.Errorf("quota used up: %v", err)
	}
	if get(t, a, "msg/2") != "two" {
		t.Error("without quota nothing is fetched either")
	}
	if confirmed(t, a, "msg/1") {
		t.Error("confirmed although the server refused it")
	}
	full = false
	w.sync(t, a)
	if !confirmed(t, a, "msg/1") {
		t.Error("not sent when there is room again")
	}
	other, err := soledad.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sync(t.Context(), w.Remote(alice), other); !errors.Is(err, soledad.ErrAccount) {
		t.Errorf("another keyring: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Sync(ctx, w.Remote(alice), w.keys); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestQueueAndNotify(t *testing.T) {
	w := newWorld(t)
	r := w.Remote(alice)
	if _, changed, err := r.Notify(t.Context(), 0, 0, 0); err != nil || changed {
		t.Errorf("nothing new: %v, %v", changed, err)
	}
	type result struct {
		n   u1db.Notice
		ok  bool
		err error
	}
	got := make(chan result, 1)
	go func() {
		n, ok, err := r.Notify(t.Context(), 0, 0, time.Minute)
		got <- result{n, ok, err}
	}()
	id := w.Deliver(alice, []byte("sealed"))
	if res := <-got; res.err != nil || !res.ok || res.n.Incoming != 1 {
		t.Errorf("notified of %+v", res)
	}
	entries, err := r.Incoming(t.Context(), 10)
	if err != nil || len(entries) != 1 || entries[0].ID != id || entries[0].Size != 6 {
		t.Errorf("queue: %v, %v", entries, err)
	}
	if b, err := r.FetchIncoming(t.Context(), id); err != nil || string(b) != "sealed" {
		t.Errorf("fetched %q, %v", b, err)
	}
	if err := r.DeleteIncoming(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := r.DeleteIncoming(t.Context(), id); !errors.Is(err, problem.NotExist) {
		t.Errorf("deleting twice: %v", err)
	}
	if len(w.Queue(alice)) != 0 {
		t.Error("still queued")
	}
}

func TestKeyringAtTheServer(t *testing.T) {
	w := newWorld(t)
	r := w.Remote(alice)
	if _, _, err := r.LoadKeyring(t.Context()); !errors.Is(err, problem.NotExist) {
		t.Errorf("no keyring: %v", err)
	}
	wrap, next := newKey(t), newKey(t)
	store := func(old string, wraps ...[32]byte) string {
		t.Helper()
		doc, err := w.keys.Seal(rand.Reader, wraps...)
		if err != nil {
			t.Fatal(err)
		}
		rev, err := r.StoreKeyring(t.Context(), doc, old)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	rev1 := store("", wrap)
	rev2 := store(rev1, wrap, next)
	doc, rev, err := r.LoadKeyring(t.Context())
	if err != nil || rev != rev2 {
		t.Errorf("revision %s, %v, want %s", rev, err, rev2)
	}
	for name, k := range map[string][32]byte{"old": wrap, "new": next} {
		if _, err := soledad.OpenKeyring(doc, k); err != nil {
			t.Errorf("during the change the %s password: %v", name, err)
		}
	}
	if _, err := r.StoreKeyring(t.Context(), doc, rev1); !errors.Is(err, problem.Stale) {
		t.Errorf("an old revision: %v", err)
	}
	store(rev2, next)
	doc, _, err = r.LoadKeyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := soledad.OpenKeyring(doc, wrap); !errors.Is(err, soledad.ErrWrap) {
		t.Errorf("the old password after the change: %v", err)
	}
	// The keyring lies among the documents, but is none.
	a := fresh(t)
	if res := w.sync(t, a); res.Quarantined != 0 || res.Generation != 3 {
		t.Errorf("sync: %+v", res)
	}
}

func BenchmarkSync2K(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		x, y := fresh(b), fresh(b)
		body := make([]byte, 2048)
		err := x.Update(b.Context(), func(tx *soledad.Tx) error {
			for i := range n {
				if err := tx.Put(soledad.Doc{ID: fmt.Sprintf("msg/%08d", i), Body: body}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		start := time.Now()
		w.sync(b, x)
		pushed := time.Since(start)
		w.sync(b, y)
		b.ReportMetric(n/pushed.Seconds(), "push/s")
		b.ReportMetric(n/(time.Since(start)-pushed).Seconds(), "pull/s")
	}
}
