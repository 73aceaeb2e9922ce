package tapicero_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"leap.example/services/tapicero"
)

// Whatever happens to users, stores and processes: once all is quiet, exactly
// the users have databases, and no database of a living user was ever
// destroyed.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 1, 40).Draw(rt, "steps")
		failures := rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(rt, "failures")
		synctest.Test(t, func(t *testing.T) { model(t, steps, failures) })
	})
}

func model(t *testing.T, steps []int, failures []bool) {
	w := newWorld()
	at, quiet := 0, false
	w.setFail(func(op, user string) error {
		if op == "destroy" && w.users[user] {
			t.Errorf("destroys the database of a living user")
		}
		if at++; !quiet && failures[at%len(failures)] {
			return errDown
		}
		return nil
	})
	stop := run(t, newServer(t, w, tapicero.Config{Grace: "1h"}))
	for n, step := range steps {
		switch user := id(n); {
		case step < 40:
			w.create(user)
		case step < 70:
			w.remove(id(step % max(n, 1)))
		case step < 85:
			time.Sleep(time.Duration(step) * time.Second)
		default:
			stop()
			stop = run(t, newServer(t, w, tapicero.Config{Grace: "1h"}))
		}
	}
	w.mu.Lock()
	quiet = true
	w.mu.Unlock()
	time.Sleep(2 * time.Hour)
	stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for user := range w.users {
		if !w.dbs[user] {
			t.Error("a user has no database")
		}
	}
	for user := range w.dbs {
		if !w.users[user] {
			t.Error("a database has no user")
		}
	}
}
