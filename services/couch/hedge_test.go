package couch_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// slowReads has a node leave everything but writes and health unanswered.
func slowReads(r *http.Request) fault {
	if writes(r) || r.URL.Path == "/_up" {
		return none
	}
	return slow
}

// A read that one node leaves unanswered is answered by the other; after some of
// them the slow node is left. Writes are never sent twice.
func TestSlowNode(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	couch.QuickHedges(db, 5*time.Millisecond)
	used.with(slowReads)
	u := &record.User{ID: user, Login: "joe"}
	check(t, "writing", db.Users().Create(t.Context(), u))
	if spare.seen.Load() != 0 {
		t.Errorf("a write went to another node")
	}
	for range 3 {
		got, err := db.Users().ByID(t.Context(), user)
		check(t, "reading", err)
		if got.Login != "joe" {
			t.Errorf("read %+v", got)
		}
	}
	if _, err := db.Users().ByLogin(t.Context(), "joe"); err != nil { // A query has a body.
		t.Errorf("finding: %v", err)
	}
	if c := db.Hedges(); c.Sent < 3 || c.Won < 3 {
		t.Errorf("hedges: %+v, want 3 at least", c)
	}
	before := used.seen.Load()
	for range 10 {
		ask(t, db)
	}
	if used.seen.Load() != before {
		t.Errorf("%d of ten requests still went to the slow node", used.seen.Load()-before)
	}
}

// When all nodes are slow, only so many reads are sent twice.
func TestHedgesAreBounded(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	couch.QuickHedges(db, time.Millisecond)
	used.with(slowReads)
	spare.with(slowReads)
	const reads = 40
	errs := make(chan error, reads)
	before := used.seen.Load() + spare.seen.Load()
	for range reads {
		go func() {
			_, err := db.Users().ByID(t.Context(), user)
			errs <- err
		}()
	}
	want := int64(reads + couch.MaxCredit)
	eventually(t, "every read is under way, and some twice", func() bool {
		return used.seen.Load()+spare.seen.Load()-before >= want
	})
	close(used.quick)
	close(spare.quick)
	for range reads {
		if err := <-errs; problem.KindOf(err) != problem.NotExist {
			t.Errorf("reading: %v", err)
		}
	}
	if c := db.Hedges(); c.Sent < couch.MaxCredit || c.Sent > couch.MaxCredit+reads/10+1 {
		t.Errorf("%d hedges, want about %d", c.Sent, couch.MaxCredit)
	}
}

// A feed stays with its node, however long that says nothing.
func TestFeedIsNotHedged(t *testing.T) {
	t.Parallel()
	db, _, spare := twoNodes(t)
	couch.QuickHedges(db, time.Millisecond)
	feeds := 0
	spare.with(func(r *http.Request) fault {
		if strings.HasSuffix(r.URL.Path, "/_changes") {
			feeds++
		}
		return none
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := db.Users().Follow(ctx, "", func(string, bool, string) error { return nil }); ctx.Err() == nil {
		t.Errorf("following ended with %v", err)
	}
	spare.mu.Lock()
	defer spare.mu.Unlock()
	if feeds != 0 {
		t.Errorf("the feed was asked for at %d nodes more", feeds)
	}
}

// While nodes come and go, one at a time, everything is answered.
func TestFlappingNodes(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	couch.QuickProbes(db)
	u := &record.User{ID: user, Login: "joe"}
	check(t, "writing", db.Users().Create(t.Context(), u))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for p := used; ; {
			p.stop()
			p.start()
			if p == used {
				p = spare
			} else {
				p = used
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	for i := range 300 {
		if _, err := db.Users().ByID(t.Context(), user); err != nil {
			t.Errorf("read %d: %v", i, err)
		}
	}
	close(stop)
	<-stopped
}

// A server that has no _up is up if it says anything of itself.
func TestUpWithoutSuchAResource(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for body, up := range map[string]bool{
		`{"error":"not_found","reason":"missing"}`: true,
		`{"status":"maintenance_mode"}`:            false,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/_up" {
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(body)) // To a client that may have gone.
			}
		}))
		s := n.server()
		s.URLs = []string{srv.URL}
		if err := s.DB(t, "webapp").Ping(t.Context()); (err == nil) != up {
			t.Errorf("%s: %v, up is %v", body, err, up)
		}
		srv.Close()
	}
}
