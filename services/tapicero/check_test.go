package tapicero_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/services/tapicero"
)

func TestCheckAllCreatesAndSecures(t *testing.T) {
	w := newWorld()
	w.users[id(1)], w.users[id(2)] = true, true
	w.dbs[id(1)] = true
	if err := newServer(t, w, tapicero.Config{}).CheckAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantDBs(t, w, id(1), id(2))
	if w.secured[id(1)] != 1 || w.secured[id(2)] != 1 {
		t.Errorf("secured %v, want both", w.secured)
	}
}

func TestOrphanIsDestroyedAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.users[id(1)] = true
		w.dbs[id(1)], w.dbs[id(2)] = true, true
		cfg := tapicero.Config{Grace: "10h", CheckEvery: "720h"}
		stop := run(t, newServer(t, w, cfg))
		time.Sleep(6 * time.Hour)
		stop()
		wantDBs(t, w, id(1), id(2))
		stop = run(t, newServer(t, w, cfg)) // The grace goes on in the next process.
		defer stop()
		time.Sleep(4*time.Hour - time.Second)
		wantDBs(t, w, id(1), id(2))
		time.Sleep(time.Minute)
		wantDBs(t, w, id(1))
	})
}

func TestOrphanThatFindsItsUserIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dbs[id(1)], w.dbs[id(2)] = true, true
		stop := run(t, newServer(t, w, tapicero.Config{Grace: "10h", CheckEvery: "1h"}))
		defer stop()
		time.Sleep(5 * time.Hour)
		w.create(id(1)) // The users database was restored later.
		time.Sleep(100 * time.Hour)
		wantDBs(t, w, id(1))
	})
}

func TestIncompleteUserListDestroysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for n := range 6 {
			w.users[id(n)], w.dbs[id(n)] = true, true
		}
		w.short = true
		s := newServer(t, w, tapicero.Config{Grace: "1h"})
		stop := run(t, s)
		defer stop()
		time.Sleep(100 * time.Hour)
		if n := len(w.databases()); n != 6 {
			t.Errorf("%d databases left of 6", n)
		}
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "listing users") {
			t.Errorf("Check: %v", err)
		}
	})
}

// A users database that lost its users costs nobody a mailbox, however few
// there are.
func TestLostUsersDestroyNothing(t *testing.T) {
	for _, tt := range []struct {
		dbs, users int
		want       string
	}{
		{50, 0, "50 of 50"},
		{10, 0, "10 of 10"},
		{2, 0, "2 of 2"},
		{1, 0, "1 of 1"},
		{10, 4, "6 of 10"},
		{3, 1, "2 of 3"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				for n := range tt.dbs {
					w.dbs[id(n)] = true
				}
				for n := range tt.users {
					w.users[id(n)] = true
				}
				s := newServer(t, w, tapicero.Config{Grace: "1h"})
				stop := run(t, s)
				defer stop()
				time.Sleep(100 * time.Hour)
				if n := len(w.databases()); n != tt.dbs {
					t.Errorf("%d databases left of %d", n, tt.dbs)
				}
				if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Check: %v", err)
				}
			})
		})
	}
}

// What the feed reports as deleted goes, also when it is half of all or the
// last one, and also when it could not be destroyed at once.
func TestReportedDeletionIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := newServer(t, w, tapicero.Config{Grace: "1h", CheckEvery: "1h"})
		stop := run(t, s)
		defer stop()
		w.create(id(1))
		w.create(id(2))
		synctest.Wait()
		w.remove(id(1))
		synctest.Wait()
		wantDBs(t, w, id(2))
		w.setFail(func(op, _ string) error {
			if op == "destroy" {
				return errDown
			}
			return nil
		})
		w.remove(id(2))
		synctest.Wait()
		wantDBs(t, w, id(2))
		if err := s.CheckAll(t.Context()); err != nil {
			t.Errorf("a deletion under way is taken for a lost user: %v", err)
		}
		w.setFail(nil)
		time.Sleep(5 * time.Minute)
		wantDBs(t, w)
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

func TestCheckAllGoesOnAfterAFailure(t *testing.T) {
	w := newWorld()
	for n := range 10 {
		w.users[id(n)] = true
	}
	w.setFail(func(op, user string) error {
		if op == "create" && user == id(3) {
			return errDown
		}
		return nil
	})
	s := newServer(t, w, tapicero.Config{})
	if err := s.CheckAll(t.Context()); err == nil {
		t.Error("no error")
	}
	if n := len(w.databases()); n != 9 {
		t.Errorf("%d databases, want 9", n)
	}
	w.setFail(func(string, string) error { return errDown })
	if err := s.CheckAll(t.Context()); err == nil {
		t.Error("no error without a database")
	}
}

func TestUnreadableNotesBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.users[id(2)] = true
		w.dbs[id(1)], w.dbs[id(2)] = true, true
		w.state["orphans"] = `["what`
		s := newServer(t, w, tapicero.Config{Grace: "1h"})
		if err := s.CheckAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDBs(t, w, id(1), id(2))
		time.Sleep(2 * time.Hour)
		if err := s.CheckAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDBs(t, w, id(2))
	})
}
