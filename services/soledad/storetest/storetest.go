// Package storetest is the conformance suite of soledad's stores, and the
// stores in memory, which pass it. Those of services/couch pass it too.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

// A Store is a user's database with the side that mx has of it.
type Store interface {
	soledad.UserDB
	// AddIncoming puts an entry into the incoming queue; one with the same id
	// stays as it is.
	AddIncoming(ctx context.Context, in record.Incoming) error
}

// Test runs the suite for user databases. open returns a function that opens,
// each time it is called, one and the same database, which exists and is empty,
// or, if it is told so, one that does not exist.
func Test(t *testing.T, open func(t *testing.T, exists bool) func() Store) {
	for name, f := range map[string]func(*testing.T, func() Store){
		"empty":      testEmpty,
		"append":     testAppend,
		"stale":      testStale,
		"changes":    testChanges,
		"sync state": testSyncState,
		"concurrent": testConcurrent,
		"wait":       testWait,
		"incoming":   testIncoming,
		"blobs":      testBlobs,
		"deleted":    testDeletedBlobs,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t, true)) })
	}
	t.Run("absent", func(t *testing.T) { testAbsent(t, open(t, false)()) })
}

func doc(id, rev, content string) u1db.Document {
	return u1db.Document{ID: id, Rev: rev, Content: content}
}

// add appends documents over the revisions prev and returns their changes.
func add(t *testing.T, s Store, prev []string, docs ...u1db.Document) []u1db.Change {
	t.Helper()
	changes, err := s.Append(t.Context(), docs, prev)
	if err != nil {
		t.Fatalf("appending: %v", err)
	}
	return changes
}

func testEmpty(t *testing.T, open func() Store) {
	s := open()
	replica, gen, trans, err := s.Info(t.Context())
	if !u1db.ValidReplica(replica) || gen != 0 || trans != "" || err != nil {
		t.Errorf("Info: %q, %d, %q, %v", replica, gen, trans, err)
	}
	if again, _, _, err := open().Info(t.Context()); again != replica || err != nil {
		t.Errorf("opened again it is replica %q, %v; was %q", again, err, replica)
	}
	if _, err := s.Get(t.Context(), "D-1"); !errors.Is(err, problem.NotExist) {
		t.Errorf("Get: %v", err)
	}
	if docs, err := s.GetMany(t.Context(), []string{"D-1"}); len(docs) != 0 || err != nil {
		t.Errorf("GetMany: %v, %v", docs, err)
	}
	if changes, err := s.Changes(t.Context(), 0, 10); len(changes) != 0 || err != nil {
		t.Errorf("Changes: %v, %v", changes, err)
	}
	for _, gen := range []int{0, 1} {
		if _, err := s.TransID(t.Context(), gen); gen > 0 && !errors.Is(err, problem.NotExist) {
			t.Errorf("TransID(%d): %v", gen, err)
		}
	}
}

func testAppend(t *testing.T, open func() Store) {
	s := open()
	changes := add(t, s, []string{"", "", ""}, doc("D-1", "a:1", `{"n":"ünïcode \u0000 \\"}`), doc("d%2e_x.y", "a:1", `{}`), doc("D-3", "a:1", ""))
	ids := []string{"D-1", "d%2e_x.y", "D-3"}
	for i, ch := range changes {
		if ch.DocID != ids[i] || ch.Gen != i+1 || !u1db.ValidTransID(ch.TransID) {
			t.Errorf("change %d is %+v", i, ch)
		}
		if trans, err := s.TransID(t.Context(), i+1); trans != ch.TransID || err != nil {
			t.Errorf("TransID(%d): %q, %v; want %q", i+1, trans, err, ch.TransID)
		}
	}
	if len(changes) != 3 || changes[0].TransID == changes[1].TransID || changes[1].TransID == changes[2].TransID {
		t.Fatalf("changes %+v", changes)
	}
	if _, gen, trans, err := open().Info(t.Context()); gen != 3 || trans != changes[2].TransID || err != nil {
		t.Errorf("Info: %d, %q, %v", gen, trans, err)
	}
	for _, want := range []u1db.Document{doc("D-1", "a:1", `{"n":"ünïcode \u0000 \\"}`), doc("D-3", "a:1", "")} {
		got, err := open().Get(t.Context(), want.ID)
		if got.Gen, got.TransID = 0, ""; got != want || err != nil {
			t.Errorf("Get: %+v, %v; want %+v", got, err, want)
		}
	}
	docs, err := open().GetMany(t.Context(), []string{"D-3", "D-none", "D-1"})
	got := map[string]string{}
	for _, d := range docs {
		got[d.ID] = d.Rev
	}
	if diff := cmp.Diff(map[string]string{"D-1": "a:1", "D-3": "a:1"}, got); diff != "" || err != nil {
		t.Errorf("GetMany: %v (-want +got)\n%s", err, diff)
	}
	// An update, a deletion, and a document that comes back.
	next := add(t, s, []string{"a:1", "a:1", "a:1"}, doc("D-1", "a:2", `{"m":1}`), doc("d%2e_x.y", "a:2", ""), doc("D-3", "a:2", `{"back":true}`))
	if next[0].Gen != 4 || next[2].Gen != 6 {
		t.Errorf("generations go on with %+v", next)
	}
	for id, content := range map[string]string{"D-1": `{"m":1}`, "d%2e_x.y": "", "D-3": `{"back":true}`} {
		if d, err := s.Get(t.Context(), id); d.Rev != "a:2" || d.Content != content || err != nil {
			t.Errorf("%s is %+v, %v", id, d, err)
		}
	}
}

func testStale(t *testing.T, open func() Store) {
	s := open()
	add(t, s, []string{""}, doc("D-1", "a:1", `{}`))
	for name, prev := range map[string]string{"absent": "", "older": "b:1"} {
		if _, err := s.Append(t.Context(), []u1db.Document{doc("D-1", "c:1", `{}`)}, []string{prev}); !errors.Is(err, problem.Stale) {
			t.Errorf("judged against %s: %v", name, err)
		}
	}
	if _, err := s.Append(t.Context(), []u1db.Document{doc("D-2", "c:1", `{}`)}, []string{"c:0"}); !errors.Is(err, problem.Stale) {
		t.Errorf("judged against one that is not there: %v", err)
	}
	// Of a batch, other documents may be stored; the log and the documents
	// agree in any case.
	_, err := s.Append(t.Context(), []u1db.Document{doc("D-3", "c:1", `{}`), doc("D-1", "c:1", `{}`), doc("D-4", "c:1", `{}`)}, []string{"", "", ""})
	if !errors.Is(err, problem.Stale) {
		t.Errorf("batch: %v", err)
	}
	if d, err := s.Get(t.Context(), "D-1"); d.Rev != "a:1" || err != nil {
		t.Errorf("it was overwritten: %+v, %v", d, err)
	}
	consistent(t, s)
}

// consistent checks that the log and the documents agree.
func consistent(t *testing.T, s Store) {
	t.Helper()
	_, gen, trans, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.Changes(t.Context(), 0, gen+10)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	ids := map[string]bool{}
	for _, ch := range changes {
		if ch.Gen <= last || ids[ch.DocID] {
			t.Errorf("change %+v is out of order or there twice", ch)
		}
		last, ids[ch.DocID] = ch.Gen, true
		if own, err := s.TransID(t.Context(), ch.Gen); own != ch.TransID || err != nil {
			t.Errorf("TransID(%d): %q, %v; the change has %q", ch.Gen, own, err, ch.TransID)
		}
		if _, err := s.Get(t.Context(), ch.DocID); err != nil {
			t.Errorf("a document of the log: %v", err)
		}
	}
	if last > gen {
		t.Errorf("the log ends at %d, the database is at %d", last, gen)
	}
	if own, err := s.TransID(t.Context(), gen); gen > 0 && (own != trans || err != nil) {
		t.Errorf("the database is at %d %q, whose id is %q, %v", gen, trans, own, err)
	}
}

func testChanges(t *testing.T, open func() Store) {
	s := open()
	var all []u1db.Change
	for i := range 30 {
		all = append(all, add(t, s, []string{""}, doc(fmt.Sprintf("D-%02d", i), "a:1", `{}`))...)
	}
	for i := 0; i < 30; i += 3 {
		all = append(all, add(t, s, []string{"a:1"}, doc(fmt.Sprintf("D-%02d", i), "a:2", `{}`))...)
	}
	newest := slices.DeleteFunc(slices.Clone(all), func(ch u1db.Change) bool {
		return slices.ContainsFunc(all[ch.Gen:], func(later u1db.Change) bool { return later.DocID == ch.DocID })
	})
	for _, since := range []int{0, 1, 15, 29, 30, 39, 40, 41} {
		want := slices.DeleteFunc(slices.Clone(newest), func(ch u1db.Change) bool { return ch.Gen <= since })
		var got []u1db.Change
		for at := since; ; at = got[len(got)-1].Gen { // Page by page.
			page, err := s.Changes(t.Context(), at, 7)
			if err != nil || len(page) > 7 {
				t.Fatalf("Changes(%d, 7): %d, %v", at, len(page), err)
			}
			if got = append(got, page...); len(page) == 0 {
				break
			}
		}
		if diff := cmp.Diff(want, got); len(want)+len(got) > 0 && diff != "" {
			t.Errorf("changes since %d: (-want +got)\n%s", since, diff)
		}
	}
	consistent(t, s)
}

func testSyncState(t *testing.T, open func() Store) {
	s := open()
	state := func(source string, gen int, trans string) {
		t.Helper()
		if g, tr, err := open().SyncState(t.Context(), source); g != gen || tr != trans || err != nil {
			t.Errorf("%s: %d, %q, %v; want %d, %q", source, g, tr, err, gen, trans)
		}
	}
	state("a", 0, "")
	for _, gen := range []int{7, 9, 8} {
		if err := s.SetSyncState(t.Context(), "a", gen, fmt.Sprint("T-", gen)); err != nil {
			t.Fatal(err)
		}
		state("a", gen, fmt.Sprint("T-", gen))
	}
	state("b", 0, "")
	if _, gen, _, err := s.Info(t.Context()); gen != 0 || err != nil {
		t.Errorf("a sync state is a change: generation %d, %v", gen, err)
	}
}

const soon = 20 * time.Second // For what happens at once, on a machine that is busy.
