package group_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/store"
)

// A node that has just been started takes nothing that it has for fresh, and
// vouches for nothing, before it has looked what there is.
func TestNotYetOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.offline("a", func(st *store.Store) {
		port, err := peer.New("a", c.addrs, c.ca.Cert(t, "a"), c.ca.Pool, quiet())
		if err != nil {
			t.Fatal(err)
		}
		s, err := group.New(group.Config{Self: "a", Nodes: c.names, Voters: c.place}, st, port, quiet(), func(context.Context, uint16) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.Barrier(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Barrier: %v", err)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/_leap/v1/shards/1/vouch", strings.NewReader(`{"server":"b@1","step":"promise"}`)))
		if w.Code == 200 {
			t.Errorf("it vouches: %s", w.Body)
		}
	})
}
