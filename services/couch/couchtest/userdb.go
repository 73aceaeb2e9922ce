package couchtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// UserDB makes a database for a new user, until the test ends, and opens it as
// soledad does.
func (s Server) UserDB(t *testing.T) (db *couch.UserDB, userID string) {
	t.Helper()
	userID = random()
	admin := s.DB(t, "tapicero")
	ok(t, "creating a user database", admin.UserDBs().Create(t.Context(), userID))
	t.Cleanup(func() {
		if err := admin.UserDBs().Destroy(context.Background(), userID); err != nil {
			t.Errorf("destroying the user database: %v", err)
		}
	})
	return s.DB(t, "soledad").UserDBs().Open(userID), userID
}

func newDocument(id, rev string) u1db.Document {
	return u1db.Document{ID: id, Rev: rev, Content: `{"raw":"` + id + " " + rev + ` <&> é"}`}
}

func (s Server) userDBs(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "tapicero").UserDBs()
	id := random()
	is(t, "no database", st.Check(ctx, id), problem.NotExist)
	missing := s.DB(t, "soledad").UserDBs().Open(id)
	_, _, _, err := missing.Info(ctx)
	is(t, "information on no database", err, problem.NotExist)
	is(t, "a document of no database", second(missing.Get(ctx, "a")), problem.NotExist)
	is(t, "changes of no database", second(missing.Changes(ctx, 0, 1)), problem.NotExist)
	is(t, "appending to no database", second(missing.Append(ctx, []u1db.Document{newDocument("a", "r:1")}, []string{""})), problem.NotExist)
	is(t, "the queue of no database", second(missing.Incoming(ctx, 1)), problem.NotExist)
	is(t, "blobs of no database", second(missing.Blobs(ctx, "default")), problem.NotExist)
	_, _, err = missing.SyncState(ctx, "r")
	is(t, "a sync state of no database", err, problem.NotExist)
	is(t, "waiting on no database", missing.Wait(ctx), problem.NotExist)
	_, _, _, err = st.Open("../users").Info(ctx)
	is(t, "a strange user", err, problem.NotExist)
	is(t, "a strange user", st.Create(ctx, "../users"), problem.Invalid)

	for _, err := range together(3, func(int) error { return st.Create(ctx, id) }) {
		ok(t, "creating at once", err)
	}
	replica, gen, trans, err := missing.Info(ctx)
	ok(t, "information", err)
	if !u1db.ValidReplica(replica) || gen != 0 || trans != "" {
		t.Errorf("a new database is %q, %d, %q", replica, gen, trans)
	}
	ok(t, "creating again", st.Create(ctx, id))
	again, _, _, err := missing.Info(ctx)
	ok(t, "information", err)
	if again != replica {
		t.Errorf("the replica uid was %s and is %s", replica, again)
	}
	ok(t, "checking", st.Check(ctx, id))
	ids, err := st.IDs(ctx)
	ok(t, "listing", err)
	if !slices.Contains(ids, id) {
		t.Errorf("%s is not in %v", id, ids)
	}
	ok(t, "destroying", st.Destroy(ctx, id))
	ok(t, "destroying again", st.Destroy(ctx, id))
	_, _, _, err = missing.Info(ctx)
	is(t, "information on a destroyed database", err, problem.NotExist)
}

func (s Server) documents(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	docs := []u1db.Document{newDocument("D-1", "r:1"), newDocument("_local.%2e", "r:1"), newDocument("keyring", "r:1")}
	changes, err := db.Append(ctx, docs, []string{"", "", ""})
	ok(t, "appending", err)
	for i, c := range changes {
		if c.DocID != docs[i].ID || c.Gen != i+1 || !u1db.ValidTransID(c.TransID) {
			t.Errorf("change %d is %+v", i, c)
		}
		docs[i].Gen, docs[i].TransID = c.Gen, c.TransID
		got, err := db.Get(ctx, docs[i].ID)
		ok(t, "reading", err)
		same(t, "the document", got, docs[i])
		trans, err := db.TransID(ctx, c.Gen)
		ok(t, "the transaction id", err)
		if trans != c.TransID {
			t.Errorf("the transaction id is %q, want %q", trans, c.TransID)
		}
	}
	_, gen, trans, err := db.Info(ctx)
	ok(t, "information", err)
	if gen != 3 || trans != changes[2].TransID {
		t.Errorf("at %d, %q; want 3, %q", gen, trans, changes[2].TransID)
	}
	many, err := db.GetMany(ctx, []string{"keyring", "none", "D-1"})
	ok(t, "reading many", err)
	same(t, "many documents", many, []u1db.Document{docs[2], docs[0]})

	is(t, "over another revision", second(db.Append(ctx, docs[:1], []string{"r:7"})), problem.Stale)
	is(t, "as a new one", second(db.Append(ctx, docs[:1], []string{""})), problem.Stale)
	is(t, "over nothing", second(db.Append(ctx, []u1db.Document{newDocument("new", "r:2")}, []string{"r:1"})), problem.Stale)
	is(t, "a malformed id", second(db.Append(ctx, []u1db.Document{newDocument("a/b", "r:1")}, []string{""})), problem.Invalid)
	is(t, "no document", second(db.Get(ctx, "none")), problem.NotExist)
	is(t, "no generation", second(db.TransID(ctx, 4)), problem.NotExist)
	is(t, "no generation", second(db.TransID(ctx, -1)), problem.NotExist)
	if trans, err := db.TransID(ctx, 0); trans != "" || err != nil {
		t.Errorf("generation 0 is %q, %v", trans, err)
	}
	_, gen, _, err = db.Info(ctx)
	ok(t, "information", err)
	if gen != 3 {
		t.Errorf("after what was refused at %d, want 3", gen)
	}
	gone := u1db.Document{ID: "D-1", Rev: "r:2"}
	changes, err = db.Append(ctx, []u1db.Document{gone}, []string{"r:1"})
	ok(t, "deleting", err)
	gone.Gen, gone.TransID = 4, changes[0].TransID
	got, err := db.Get(ctx, "D-1")
	ok(t, "reading a deleted document", err)
	same(t, "a deleted document", got, gone)
	twice := []u1db.Document{newDocument("D-2", "r:1"), newDocument("D-2", "r:2")}
	changes, err = db.Append(ctx, twice, []string{"", "r:1"})
	ok(t, "one document twice", err)
	if changes[0].Gen != 5 || changes[1].Gen != 6 {
		t.Errorf("one document twice: %+v", changes)
	}
}

// appendRaces has several writers append at once, to documents of their own and
// to one that all want.
func (s Server) appendRaces(t *testing.T) {
	ctx := limited(t)
	db, user := s.UserDB(t)
	const writers, rounds = 3, 6
	var mu sync.Mutex
	all := map[int]u1db.Change{}
	wins := map[string]int{}
	errs := together(writers, func(w int) error {
		db := s.DB(t, "soledad").UserDBs().Open(user)
		for round := range rounds {
			var docs []u1db.Document
			for k := range 1 + w {
				docs = append(docs, newDocument(fmt.Sprintf("w%d-%d-%d", w, round, k), "r:1"))
			}
			changes, err := db.Append(ctx, docs, make([]string, len(docs)))
			if err != nil {
				return fmt.Errorf("own documents: %w", err)
			}
			shared := newDocument("shared", fmt.Sprintf("r%d:%d", w, round+1))
			var prev string
			if d, err := db.Get(ctx, "shared"); err == nil {
				prev = d.Rev
			}
			one, err := db.Append(ctx, []u1db.Document{shared}, []string{prev})
			if err != nil && problem.KindOf(err) != problem.Stale {
				return fmt.Errorf("the shared document: %w", err)
			}
			mu.Lock()
			for _, c := range append(changes, one...) {
				if before, taken := all[c.Gen]; taken {
					mu.Unlock()
					return fmt.Errorf("generation %d is of %v and of %v", c.Gen, before, c)
				}
				all[c.Gen] = c
			}
			if err == nil {
				wins[shared.Rev]++
			}
			mu.Unlock()
		}
		return nil
	})
	for _, err := range errs {
		ok(t, "appending at once", err)
	}
	_, gen, trans, err := db.Info(ctx)
	ok(t, "information", err)
	last := slices.Max(slices.Collect(maps.Keys(all)))
	if gen < last || gen == last && trans != all[last].TransID {
		t.Errorf("at %d, %q; the last append was %+v", gen, trans, all[last])
	}
	changes, err := db.Changes(ctx, 0, 10000)
	ok(t, "changes", err)
	seen := map[string]int{}
	for _, c := range changes {
		if want, mine := all[c.Gen]; mine && want != c {
			t.Errorf("change %+v, want %+v", c, want)
		}
		seen[c.DocID] = c.Gen
	}
	for _, c := range all {
		if strings.HasPrefix(c.DocID, "w") && seen[c.DocID] != c.Gen {
			t.Errorf("%+v is not among the changes (%d)", c, seen[c.DocID])
		}
	}
	d, err := db.Get(ctx, "shared")
	ok(t, "the shared document", err)
	if wins[d.Rev] != 1 || seen["shared"] != d.Gen {
		t.Errorf("the shared document is of %s at %d, in the changes at %d; won: %v", d.Rev, d.Gen, seen["shared"], wins)
	}
}
