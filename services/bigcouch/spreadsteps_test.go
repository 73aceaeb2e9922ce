package bigcouch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// A failing log takes so many more entries, and then none.
type failing struct {
	shard.Log
	left atomic.Int64
}

func (f *failing) Propose(ctx context.Context, s uint16, e store.Entry) (uint64, store.Result, error) {
	if f.left.Add(-1) < 0 {
		return 0, store.Result{}, shard.NoMajority(s)
	}
	return f.Log.Propose(ctx, s, e)
}

// ask sends a request as the administrator.
func (n *node) ask(method, target, body string) (int, string) {
	path, query, _ := strings.Cut(target, "?")
	w := n.request(method, &url.URL{Path: path, RawQuery: query}, http.Header{"Authorization": {"Basic YTp4"}, "Content-Type": {typeJSON}}, body)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// What is cut short while a database in parts is made or dropped, or while a
// design document is copied to its parts, is made whole by the next try, and by
// what comes to look after it.
func TestSpreadSteps(t *testing.T) {
	n := running(t)
	log := &failing{Log: n.engine.log}
	n.engine.log = log
	const enough = 1 << 40
	cut := func(t *testing.T, steps int, method, target, body string, done int) (whole bool) {
		t.Helper()
		log.left.Store(int64(steps))
		status, _ := n.ask(method, target, body)
		log.left.Store(enough)
		switch status {
		case done:
			return true
		case http.StatusServiceUnavailable:
			return false
		}
		t.Fatalf("%s %s, cut after %d entries: %d", method, target, steps, status)
		return false
	}
	want := func(t *testing.T, status int, method, target, body string) string {
		t.Helper()
		got, answer := n.ask(method, target, body)
		if got != status {
			t.Fatalf("%s %s: %d %s, want %d", method, target, got, answer, status)
		}
		return answer
	}
	for steps, whole := 0, false; !whole && !t.Failed(); steps++ {
		for _, mend := range []string{"again", "recover"} {
			t.Run(fmt.Sprintf("%d/%s", steps, mend), func(t *testing.T) {
				recover := func() {
					for s := range uint16(n.engine.shards + 1) {
						if err := n.recover(context.Background(), s); err != nil {
							t.Fatal(err)
						}
					}
				}
				made := cut(t, steps, "PUT", "/cut?q=3", "", http.StatusCreated)
				if !made {
					want(t, 404, "GET", "/cut/_all_docs", "")
					if mend == "recover" && steps > 0 {
						recover()
					} else if status, answer := n.ask("PUT", "/cut?q=3", ""); status != 201 && status != 412 { // It is there now.
						t.Fatalf("making again: %d %s", status, answer)
					}
				}
				for i := range 12 {
					want(t, 201, "PUT", fmt.Sprintf("/cut/doc%d", i), `{"n":1}`)
				}
				dropped := cut(t, steps, "DELETE", "/cut", "", http.StatusOK)
				if !dropped {
					if steps > 0 {
						want(t, 404, "GET", "/cut/doc1", "")
					}
					if mend == "recover" {
						recover()
					}
					if status, answer := n.ask("DELETE", "/cut", ""); status != 200 && status != 404 {
						t.Fatalf("dropping again: %d %s", status, answer)
					}
				}
				want(t, 201, "PUT", "/cut?q=3", "")
				if got := want(t, 200, "GET", "/cut/_all_docs", ""); !strings.HasPrefix(got, `{"total_rows":0,`) {
					t.Errorf("after it was made anew: %s", got)
				}
				want(t, 200, "DELETE", "/cut", "")
				whole = made && dropped
			})
		}
	}

	const design = `{"views":{"v":{"map":"function (doc) { emit(doc.n, 1) }"}}}`
	for steps := range 4 {
		for _, mend := range []string{"query", "again", "recover"} {
			t.Run(fmt.Sprintf("design/%d/%s", steps, mend), func(t *testing.T) {
				want(t, 201, "PUT", "/designs?q=3", "")
				defer want(t, 200, "DELETE", "/designs", "")
				for i := range 12 {
					want(t, 201, "PUT", fmt.Sprintf("/designs/doc%d", i), `{"n":1}`)
				}
				cut(t, steps, "PUT", "/designs/_design/d", design, http.StatusCreated)
				switch {
				case steps == 0:
					want(t, 201, "PUT", "/designs/_design/d", design)
				case mend == "again":
					want(t, 201, "PUT", "/designs/_design/other", design)
				case mend == "recover":
					for s := range uint16(n.engine.shards + 1) {
						if err := n.recover(context.Background(), s); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got := want(t, 200, "GET", "/designs/_design/d/_view/v?limit=0", ""); !strings.HasPrefix(got, `{"total_rows":12,`) {
					t.Errorf("view: %s", got)
				}
				db := &call{node: n}
				var err error
				if db.db, err = db.database("designs"); err != nil {
					t.Fatal(err)
				}
				v := n.store.View()
				defer v.Close()
				for i := range 3 {
					part, err := v.Part(db.db, i)
					if err != nil {
						t.Fatal(err)
					}
					if d, err := v.Document(part, "_design/d"); err != nil || d == nil {
						t.Errorf("part %d: %v, %v", i, d, err)
					}
				}
			})
		}
	}
}
