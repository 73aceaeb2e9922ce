package tapicero_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"leap.example/services/protocol/problem"
	"leap.example/services/tapicero"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(t *testing.T, w *world, cfg tapicero.Config) *tapicero.Server {
	t.Helper()
	s, err := tapicero.New(cfg, users{w}, userDBs{w}, state{w}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs s; stop ends it and waits.
func run(t *testing.T, s *tapicero.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func wantDBs(t *testing.T, w *world, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string(nil), want...), w.databases()); diff != "" {
		t.Errorf("databases (-want +got):\n%s", diff)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg tapicero.Config
		ok  bool
	}{
		{tapicero.Config{}, true},
		{tapicero.Config{Grace: "1h", CheckEvery: "90s"}, true},
		{tapicero.Config{Grace: "1"}, false},
		{tapicero.Config{Grace: "-1h"}, false},
		{tapicero.Config{CheckEvery: "0s"}, false},
	} {
		if _, err := tapicero.New(tt.cfg, nil, nil, nil, nil); (err == nil) != tt.ok {
			t.Errorf("New(%+v): %v, want ok = %v", tt.cfg, err, tt.ok)
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := newServer(t, w, tapicero.Config{})
		if err := s.Check(t.Context()); err == nil {
			t.Error("healthy before it runs")
		}
		stop := run(t, s)
		defer stop()
		w.create(id(1))
		w.create(id(2))
		w.event("_design/User", false) // Not a user.
		synctest.Wait()
		wantDBs(t, w, id(1), id(2)) // At once: no fake time has passed.
		w.remove(id(1))
		synctest.Wait()
		wantDBs(t, w, id(2))
		time.Sleep(5 * time.Second)
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

func TestFailureIsRetriedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFail(func(op, user string) error {
			if op == "create" && user == id(1) {
				return errDown
			}
			return nil
		})
		s := newServer(t, w, tapicero.Config{})
		stop := run(t, s)
		w.create(id(1))
		w.create(id(2)) // Does not wait for the first.
		synctest.Wait()
		wantDBs(t, w, id(2))
		time.Sleep(10 * time.Minute)
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "1 user databases wait") {
			t.Errorf("Check: %v", err)
		}
		if n := w.count("create", id(1)); n < 10 || n > 80 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		if w.state["seq"] != "" {
			t.Errorf("sequence %q stored while a change waits", w.state["seq"])
		}
		stop()

		// A new process takes up what the old one did not finish.
		w.setFail(nil)
		s = newServer(t, w, tapicero.Config{})
		stop = run(t, s)
		defer stop()
		synctest.Wait()
		wantDBs(t, w, id(1), id(2))
		time.Sleep(5 * time.Second)
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
		if got := w.state["seq"]; got != "2" {
			t.Errorf("stored sequence %q, want 2", got)
		}
	})
}

func TestRestartContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		stop := run(t, newServer(t, w, tapicero.Config{}))
		w.create(id(1))
		synctest.Wait()
		stop() // The sequence is stored on the way out.
		w.create(id(2))
		w.remove(id(1))
		stop = run(t, newServer(t, w, tapicero.Config{}))
		defer stop()
		synctest.Wait()
		wantDBs(t, w, id(2))
		if n := w.count("destroy", id(1)); n != 1 {
			t.Errorf("%d destructions, want 1", n)
		}
	})
}

func TestDatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFail(func(string, string) error { return errDown })
		s := newServer(t, w, tapicero.Config{})
		stop := run(t, s)
		defer stop()
		w.create(id(1))
		time.Sleep(time.Hour)
		if err := s.Check(t.Context()); err == nil {
			t.Error("healthy without a database")
		}
		w.setFail(nil)
		time.Sleep(2 * time.Minute)
		wantDBs(t, w, id(1))
		time.Sleep(10 * time.Minute) // Until the comparison's backoff is over.
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex // Guards b.
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A database that is missing is worth a warning only when it stays so.
func TestNotSetUpYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFail(func(string, string) error { return problem.NotExist.Errorf("no such database") })
		var log lines
		s, err := tapicero.New(tapicero.Config{}, users{w}, userDBs{w}, state{w}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		time.Sleep(55 * time.Second)
		synctest.Wait()
		if out := log.String(); strings.Contains(out, "WARN") || !strings.Contains(out, "not set up yet") {
			t.Errorf("in the first minute:\n%s", out)
		}
		time.Sleep(10 * time.Minute)
		stop()
		for _, want := range []string{"feed of users failed", "comparing databases with users failed"} {
			if out := log.String(); !strings.Contains(out, want) {
				t.Errorf("no %q after the first minute:\n%s", want, out)
			}
		}
	})
}

func TestUnknownSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.state["seq"] = "of another cluster"
		s := newServer(t, w, tapicero.Config{})
		stop := run(t, s)
		defer stop()
		w.create(id(1))
		time.Sleep(time.Minute)
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
		if got := w.state["seq"]; got != "1" {
			t.Errorf("stored sequence %q, want 1", got)
		}
	})
}

// A feed that reports a deletion which the users database does not confirm
// destroys nothing.
func TestDeletionNeedsConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := newServer(t, w, tapicero.Config{})
		stop := run(t, s)
		defer stop()
		w.create(id(1))
		synctest.Wait()
		w.mu.Lock()
		w.log = append(w.log, change{id(1), true})
		close(w.more)
		w.more = make(chan struct{})
		w.mu.Unlock()
		time.Sleep(time.Hour)
		wantDBs(t, w, id(1))
		if err := s.Check(t.Context()); err == nil {
			t.Error("the contradiction is not reported")
		}
	})
}
