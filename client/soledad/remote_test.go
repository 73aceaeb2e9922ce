package soledad_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

func TestErrorsOfTheRemote(t *testing.T) {
	w := newWorld(t)
	a := fresh(t)
	put(t, a, "msg/1", "one")
	w.SetToken(alice, "token of the next login")
	expired := soledad.NewRemote(http.DefaultClient, []string{w.URL}, alice, func(context.Context) (string, error) { return "token", nil })
	if _, err := a.Sync(t.Context(), expired, w.keys); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("expired token: %v", err)
	}
	nobody := soledad.NewRemote(http.DefaultClient, []string{"http://127.0.0.1:1"}, alice, func(context.Context) (string, error) { return "x", nil })
	if _, err := a.Sync(t.Context(), nobody, w.keys); !errors.Is(err, problem.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
	var full atomic.Bool
	w.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
		if full.Load() && r.Header.Get("Content-Type") == u1db.SyncPut {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = rw.Write(u1db.ErrQuota.Body())
			return true
		}
		return false
	})
	b := fresh(t)
	put(t, b, "msg/2", "two")
	w.sync(t, b)
	full.Store(true)
	if _, err := a.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, problem.Limit) || !errors.Is(err, u1db.ErrQuota) {
		t.Errorf("quota used up: %v", err)
	}
	if get(t, a, "msg/2") != "two" {
		t.Error("without quota nothing is fetched either")
	}
	if confirmed(t, a, "msg/1") {
		t.Error("confirmed although the server refused it")
	}
	full.Store(false)
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

// TestServers: a server that is gone, or that says that it cannot work, is left for
// the next one, and one that refuses is not.
func TestServers(t *testing.T) {
	w := newWorld(t)
	var asked atomic.Int32
	unable := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		rw.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer unable.Close()
	token := "wrong"
	r := soledad.NewRemote(http.DefaultClient, []string{"http://127.0.0.1:1", unable.URL, w.URL + "/"}, alice, func(ctx context.Context) (string, error) {
		return token, nil
	})
	w.SetToken(alice, "right")
	a := fresh(t)
	put(t, a, "msg/1", "one")
	for i, want := range []error{problem.Unavailable, problem.Unavailable, problem.Unauthenticated, problem.Unauthenticated} {
		if _, err := a.Sync(t.Context(), r, w.keys); !errors.Is(err, want) {
			t.Errorf("request %d: %v, want %v", i, err, want)
		}
	}
	token = "right"
	if _, err := a.Sync(t.Context(), r, w.keys); err != nil || !confirmed(t, a, "msg/1") {
		t.Errorf("at the one that works: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the one that cannot work was asked %d times", n)
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
