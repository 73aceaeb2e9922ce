package couch_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
)

// patience is how long a test waits for what comes by itself.
const patience = 30 * time.Second

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// twoNodes returns a DB over two ways to one node, and which of them it uses.
func twoNodes(t *testing.T) (db *couch.DB, used, spare *proxy) {
	t.Helper()
	n, s := setup(t)
	a, b := newProxy(t, n), newProxy(t, n)
	s.URLs = []string{a.url(), b.url()}
	db = s.DB(t, "webapp")
	couch.QuickProbes(db)
	ask(t, db)
	if b.seen.Load() > a.seen.Load() {
		return db, b, a
	}
	return db, a, b
}

// ask makes a request that has to be answered.
func ask(t *testing.T, db *couch.DB) {
	t.Helper()
	if _, err := db.Users().ByLogin(t.Context(), "nobody"); problem.KindOf(err) != problem.NotExist {
		t.Fatalf("asking for an account: %v", err)
	}
}

func TestBalancerKeepsToOneNode(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	for range 50 {
		ask(t, db)
	}
	if spare.seen.Load() != 0 || used.seen.Load() < 50 {
		t.Errorf("%d requests to one node, %d to the other", used.seen.Load(), spare.seen.Load())
	}
}

func TestBalancerLeavesANode(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*proxy){
		"that dies": func(p *proxy) { p.stop() },
		"that answers 503": func(p *proxy) {
			p.with(func(*http.Request) fault { return busy })
		},
		"that says it is not up": func(p *proxy) {
			p.with(func(r *http.Request) fault {
				if r.URL.Path == "/_up" {
					return sick
				}
				return none
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, used, spare := twoNodes(t)
			breaks(used)
			eventually(t, "the other node is used", func() bool { ask(t, db); return spare.seen.Load() > 0 })
			before := spare.seen.Load()
			for range 10 {
				ask(t, db)
			}
			if got := spare.seen.Load() - before; got < 10 {
				t.Errorf("%d of ten requests went to the other node", got)
			}
		})
	}
}

// When all have left a node that died, some have to come back to it.
func TestBalancerSpreadsAgain(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	for end := time.Now().Add(patience); time.Now().Before(end); used, spare = spare, used {
		used.stop()
		before := spare.seen.Load()
		eventually(t, "the other node is used", func() bool { ask(t, db); return spare.seen.Load() > before })
		used.start()
		for calm := time.Now().Add(300 * time.Millisecond); time.Now().Before(calm); time.Sleep(5 * time.Millisecond) {
			before := spare.seen.Load()
			ask(t, db)
			if spare.seen.Load() == before {
				return // By chance: one process of two does.
			}
		}
	}
	t.Fatal("a node that was away is never used again")
}

func TestBalancerAllNodesAway(t *testing.T) {
	t.Parallel()
	db, used, spare := twoNodes(t)
	used.stop()
	spare.stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := db.Users().ByLogin(ctx, "joe"); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("with all nodes away: %v", err)
	}
	spare.start()
	eventually(t, "the node that is back is used", func() bool {
		_, err := db.Users().ByLogin(ctx, "joe")
		return problem.KindOf(err) == problem.NotExist
	})
}
