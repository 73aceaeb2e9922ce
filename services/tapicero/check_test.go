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

func TestEmptyUsersDatabaseDestroysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for n := range 50 {
			w.dbs[id(n)] = true
		}
		s := newServer(t, w, tapicero.Config{Grace: "1h"})
		stop := run(t, s)
		defer stop()
		time.Sleep(100 * time.Hour)
		if n := len(w.databases()); n != 50 {
			t.Errorf("%d databases left of 50", n)
		}
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "50 of 50") {
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
		w.dbs[id(1)] = true
		w.state["orphans"] = `["what`
		s := newServer(t, w, tapicero.Config{Grace: "1h"})
		if err := s.CheckAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDBs(t, w, id(1))
		time.Sleep(2 * time.Hour)
		if err := s.CheckAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDBs(t, w)
	})
}
