// Package e2e tests a whole provider: what only shows when everything runs,
// when it is killed, when its power or its database fails, and when it is
// attacked.
package e2e

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/couch"
	"leap.example/tests/e2e/process"
)

// leapd is the program under test.
var leapd process.Program

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := leapd.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}))
}

// quiet is the log of what a test runs itself.
var quiet = slog.New(slog.DiscardHandler)

// openCouch opens the stores of a provider with the rights of an account.
func openCouch(t testing.TB, url, account, passwordFile string, log *slog.Logger) *couch.DB {
	t.Helper()
	db, err := couch.Open(couch.Config{URLs: []string{url}, User: account, PasswordFile: passwordFile}, log)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// until polls f until it returns nil.
func until(t testing.TB, what string, patience time.Duration, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // Between polls only.
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("%s: not after %v: %v", what, patience, err)
		}
	}
}
