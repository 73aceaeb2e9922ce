package main

import (
	"context"
	"net/http"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/lab"
)

// built is leapd for all tests of this package.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if built.dir != "" {
			os.RemoveAll(built.dir) // A scratch directory.
		}
		os.Exit(status)
	}))
}

func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "leapd-"); built.err == nil {
			built.path, built.err = lab.Build(context.Background(), built.dir)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// newLab makes a lab until the test ends. Its nodes do not run yet.
func newLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Program, o.Dir = program(t), t.TempDir()
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(l.Logs(20))
		}
	})
	return l
}

func start(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// auditor asks the nodes of a lab until the test ends.
func auditor(t *testing.T, l *lab.Lab) *audit.Auditor {
	t.Helper()
	a := audit.New(l.URLs(), lab.Admin, lab.Password)
	t.Cleanup(a.Close)
	return a
}

// do sends a request to the first node and wants it done.
func do(t *testing.T, a *audit.Auditor, method, path, body string, out any) {
	t.Helper()
	if _, err := a.Do(t.Context(), method, a.URLs[0], path, body, out); err != nil {
		t.Fatal(err)
	}
}

const put, post, get = http.MethodPut, http.MethodPost, http.MethodGet
