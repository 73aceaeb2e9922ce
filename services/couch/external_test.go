package couch_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Databases of an external cluster are made with the shards and copies that the
// provider has chosen; those of single users stay small.
func TestPlacementOfNewDatabases(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := newProxy(t, n)
	var mu sync.Mutex
	made := map[string]string{}
	p.with(func(r *http.Request) fault {
		if r.Method == http.MethodPut && strings.Count(r.URL.Path, "/") == 1 {
			mu.Lock()
			defer mu.Unlock()
			made[r.URL.Path[1:]] = r.URL.RawQuery
		}
		return none
	})
	s := n.server()
	s.URLs, s.External, s.Q, s.N = []string{p.url()}, true, 4, 3
	admin := s.DB(t, "admin")
	check(t, "setup", admin.Setup(t.Context()))
	check(t, "a user database", admin.UserDBs().Create(t.Context(), user))
	mu.Lock()
	defer mu.Unlock()
	for name, want := range map[string]string{"users": "n=3&q=4", "outbound": "n=3&q=4", "user-" + user: "n=3"} {
		if got := made[name]; got != want {
			t.Errorf("%s was made with %q, want %q", name, got, want)
		}
	}
}
