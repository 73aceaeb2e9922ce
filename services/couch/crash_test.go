package couch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/couch"
	"leap.example/services/couch/couchtest"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A clock goes on only when it is told to.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

// open opens the database of user as a soledad whose clock is c.
func open(t *testing.T, s couchtest.Server, id string, c *clock) *couch.UserDB {
	t.Helper()
	db := s.DB(t, "soledad")
	couch.SetNow(db, c.now)
	return db.UserDBs().Open(id)
}

// userDatabase starts a node with one user's database.
func userDatabase(t *testing.T) (*couch.UserDB, couchtest.Server, *clock) {
	t.Helper()
	s := newNode(t).server()
	check(t, "creating a user database", s.DB(t, "admin").UserDBs().Create(t.Context(), user))
	c := &clock{time.Now()}
	return open(t, s, user, c), s, c
}

// position fails the test unless db is at gen.
func position(t *testing.T, when string, db *couch.UserDB, want int) {
	t.Helper()
	_, gen, _, err := db.Info(t.Context())
	check(t, when, err)
	if gen != want {
		t.Errorf("%s: at generation %d, want %d", when, gen, want)
	}
}

// changed fails the test unless the changes after since are those of ids.
func changed(t *testing.T, when string, db *couch.UserDB, since int, want ...string) {
	t.Helper()
	list, err := db.Changes(t.Context(), since, 100)
	check(t, when, err)
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprint(c.DocID, "@", c.Gen))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, changes (-want +got):\n%s", when, diff)
	}
}

func add(t *testing.T, db *couch.UserDB, id, rev, prev string) {
	t.Helper()
	_, err := db.Append(t.Context(), []u1db.Document{document(id, rev)}, []string{prev})
	check(t, "appending "+id, err)
}

// A writer stops between its two steps. Nothing of it is shown until it is sure
// that it will not go on, and nothing behind it.
func TestWriterStopsAfterClaim(t *testing.T) {
	t.Parallel()
	db, _, c := userDatabase(t)
	ctx := t.Context()
	add(t, db, "a", "r:1", "")
	w, err := couch.Begin(ctx, db, 1, []u1db.Document{document("a", "r:2"), document("new", "r:1")}) // 2, 3
	check(t, "claiming", err)
	position(t, "while the writer may be at work", db, 1)
	changed(t, "while the writer may be at work", db, 0, "a@1")
	c.Time = c.Add(couch.Grace + 2*time.Second)
	position(t, "after the grace", db, 3)
	changed(t, "after the grace", db, 0, "a@2")
	d, err := db.Get(ctx, "a")
	check(t, "the document", err)
	if d.Rev != "r:1" || d.Gen != 2 {
		t.Errorf("the document is %+v", d)
	}
	if _, err := db.Get(ctx, "new"); !errors.Is(err, problem.NotExist) {
		t.Errorf("the document that was never written: %v", err)
	}
	if err := w.Write(ctx, 2); !errors.Is(err, problem.Stale) {
		t.Errorf("the writer goes on: %v, want a stale error", err)
	}
	add(t, db, "a", "r:2", "r:1")
	add(t, db, "new", "r:1", "")
	position(t, "when written again", db, 5)
	changed(t, "when written again", db, 3, "a@4", "new@5")
}

// The next writer goes on behind one that stopped, and settles what it left.
func TestWriterGoesOnBehindOneThatStopped(t *testing.T) {
	t.Parallel()
	db, s, c := userDatabase(t)
	_, err := couch.Begin(t.Context(), db, 0, []u1db.Document{document("lost", "r:1")})
	check(t, "claiming", err)
	second := open(t, s, user, c)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = second.Append(short, []u1db.Document{document("b", "r:1")}, []string{""})
	if !errors.Is(err, problem.Unavailable) {
		t.Errorf("behind a writer that may be at work: %v, want an unavailable error", err)
	}
	c.Time = c.Add(couch.Grace + 2*time.Second)
	add(t, second, "b", "r:2", "r:1")
	position(t, "in the end", db, 3)
	changed(t, "in the end", db, 0, "b@3")
}

func TestWriterStopsBetweenDocuments(t *testing.T) {
	t.Parallel()
	db, _, c := userDatabase(t)
	ctx := t.Context()
	w, err := couch.Begin(ctx, db, 0, []u1db.Document{document("a", "r:1"), document("b", "r:1"), document("c", "r:1")})
	check(t, "claiming", err)
	check(t, "writing one of three", w.Write(ctx, 1))
	position(t, "at once", db, 1)
	c.Time = c.Add(couch.Grace + 2*time.Second)
	position(t, "after the grace", db, 3)
	changed(t, "after the grace", db, 0, "a@1")
}

// A crash before the hint costs the next reader work, no more.
func TestWriterStopsBeforeHint(t *testing.T) {
	t.Parallel()
	db, _, _ := userDatabase(t)
	ctx := t.Context()
	w, err := couch.Begin(ctx, db, 0, []u1db.Document{document("a", "r:1"), document("b", "r:1")})
	check(t, "claiming", err)
	check(t, "writing", w.Write(ctx, 2))
	add(t, db, "c", "r:1", "") // Goes on from the old hint.
	position(t, "at once", db, 3)
	changed(t, "at once", db, 0, "a@1", "b@2", "c@3")
}

// A database that does not write all of a request may leave a gap in the log.
func TestGapInTheLog(t *testing.T) {
	t.Parallel()
	db, _, c := userDatabase(t)
	ctx := t.Context()
	w, err := couch.Begin(ctx, db, 2, []u1db.Document{document("a", "r:1")}) // 3
	check(t, "claiming", err)
	check(t, "writing", w.Write(ctx, 1))
	position(t, "at once", db, 0)
	c.Time = c.Add(couch.Grace + 2*time.Second)
	position(t, "after the grace", db, 3)
	changed(t, "after the grace", db, 0, "a@3")
}

// What is kept beside the documents may be lost with a restored backup.
func TestConfigIsLost(t *testing.T) {
	t.Parallel()
	db, s, _ := userDatabase(t)
	ctx := t.Context()
	for i := range 120 {
		add(t, db, fmt.Sprint("d", i), "r:1", "")
	}
	replica, _, trans, err := db.Info(ctx)
	check(t, "information", err)
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.URLs[0]+"/user-"+user+"/_local/config", nil)
	check(t, "losing it", err)
	req.SetBasicAuth("admin", "correct horse")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	check(t, "losing it", err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("losing it: %s", resp.Status)
	}
	again, gen, transAgain, err := db.Info(ctx)
	check(t, "information", err)
	if again != replica || gen != 120 || transAgain != trans {
		t.Errorf("it was %s, 120, %s and is %s, %d, %s", replica, trans, again, gen, transAgain)
	}
}
