package soledad_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

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

func TestInterruptedExchanges(t *testing.T) {
	w := newWorld(t)
	a, b := fresh(t), fresh(t)
	putMany(t, a, 600, strings.Repeat("m", 100)) // Three batches.
	var posts atomic.Int64
	w.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			if posts.Add(1) == 2 {
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
