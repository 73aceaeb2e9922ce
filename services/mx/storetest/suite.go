package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/mx"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Test runs the conformance suite of mx.Queue. open returns a store in which
// the user "11111111111111111111111111111111" has a database and
// "22222222222222222222222222222222" has none, and a function that reads a
// user's queue in the order of ids.
func Test(t *testing.T, open func(t *testing.T) (q mx.Queue, read func(userID string) []record.Incoming)) {
	const user, nobody = "11111111111111111111111111111111", "22222222222222222222222222222222"
	hour := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one := record.Incoming{ID: "00077f00-11111111111111111111111111111111", Received: hour, Size: 3, Body: []byte("one")}
	two := record.Incoming{ID: "00077eff-22222222222222222222222222222222", Received: hour, Size: 3, Body: []byte("two")}
	q, read := open(t)
	for _, in := range []record.Incoming{one, two} {
		if err := q.AddIncoming(t.Context(), user, in); err != nil {
			t.Fatal(err)
		}
	}
	again := one
	again.Body = []byte("another sealing of it")
	again.Size = int64(len(again.Body))
	if err := q.AddIncoming(t.Context(), user, again); err != nil {
		t.Errorf("adding an entry again: %v", err)
	}
	got := read(user)
	for i := range got {
		got[i].Rev = ""
		got[i].Received = got[i].Received.UTC()
	}
	if diff := cmp.Diff([]record.Incoming{two, one}, got); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
	if err := q.AddIncoming(t.Context(), nobody, one); !errors.Is(err, problem.NotExist) {
		t.Errorf("adding to a database that is not there: %v, want %v", err, problem.NotExist)
	}
}
