package soledad_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// full synchronises a store for which the server has no room.
func (w *world) full(tb testing.TB, s *soledad.Store, refused int) {
	tb.Helper()
	res, err := s.Sync(tb.Context(), w.Remote(alice), w.keys)
	if !errors.Is(err, problem.Limit) || problem.KindOf(err) != problem.Limit || res.Refused != refused {
		tb.Errorf("sync: %+v, %v; want %d refused", res, err, refused)
	}
}

func TestRefusedDocuments(t *testing.T) {
	big := func(s string) string { return strings.Repeat(s, 300_000) }
	for _, tt := range []struct {
		name     string
		blobs    int64
		document int
		body     string
		err      error
	}{
		{"no room for blobs", 100_000, math.MaxInt, big("x"), u1db.ErrQuota},
		{"too big", math.MaxInt64, 20_000, strings.Repeat("x", 60_000), u1db.ErrDocumentTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := fresh(t), fresh(t)
			put(t, b, "note/b", "from b")
			w.sync(t, b)
			w.Limit(alice, tt.blobs, tt.document)
			for i := range 5 {
				put(t, a, fmt.Sprintf("note/small%d", i), "small")
				put(t, a, fmt.Sprintf("note/big%d", i), fmt.Sprint(i, tt.body))
			}
			put(t, a, "note/last", "last")
			w.full(t, a, 5)
			if get(t, a, "note/b") != "from b" {
				t.Error("nothing was fetched")
			}
			if !confirmed(t, a, "note/small0", "note/small4", "note/last") {
				t.Error("what was not refused did not go")
			}
			// What is written later goes, too, and the refused ones are never taken for sent.
			for i := range 3 {
				put(t, a, "note/last", fmt.Sprint("again ", i))
				put(t, b, "note/b", fmt.Sprint("again ", i))
				w.full(t, a, 5)
				w.sync(t, b)
				if got := get(t, b, "note/last"); got != fmt.Sprint("again ", i) {
					t.Errorf("b has %q", got)
				}
				for j := range 5 {
					if confirmed(t, a, fmt.Sprintf("note/big%d", j)) {
						t.Errorf("refused document %d is confirmed", j)
					}
				}
				if pending(t, a) != 5 {
					t.Errorf("%d pending, want 5", pending(t, a))
				}
			}
			if _, err := a.Sync(t.Context(), w.Remote(alice), w.keys); !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
			// One of them becomes smaller, one is deleted, and then there is room.
			put(t, a, "note/big1", "small")
			remove(t, a, "note/big2")
			w.full(t, a, 3)
			w.Limit(alice, math.MaxInt64, math.MaxInt)
			if res := w.sync(t, a); res.Pushed != 3 || pending(t, a) != 0 {
				t.Errorf("with room: %+v, %d pending", res, pending(t, a))
			}
			w.sync(t, b)
			if have, want := all(t, b, "note"), all(t, a, "note"); len(have) != len(want) || have["note/big4"] != want["note/big4"] {
				t.Errorf("b has %d documents, want %d", len(have), len(want))
			}
			if res := w.sync(t, a); res.Pushed != 0 {
				t.Errorf("afterwards: %+v", res)
			}
		})
	}
}
