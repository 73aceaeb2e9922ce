// Package couchtest is the conformance suite of services/couch: what its stores
// promise to the roles, tried on a real database server. It needs a server with
// the accounts of couch.Accounts; it makes the provider's databases on it, and
// leaves there what it has stored under random names.
package couchtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
)

// A Server is a database server to test against.
type Server struct {
	URLs         []string // Of its nodes.
	PasswordFile string   // Of all accounts.
	External     bool     // See couch.Config.
	Q, N         int      // The same.
}

// timeout is the limit of one test: generous, machines are loaded.
const timeout = 60 * time.Second

// DB opens the server for an account, until the test ends.
func (s Server) DB(t testing.TB, user string) *couch.DB {
	t.Helper()
	db, err := couch.Open(couch.Config{
		URLs: s.URLs, User: user, PasswordFile: s.PasswordFile, External: s.External, Q: s.Q, N: s.N,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database of %s: %v", user, err)
		}
	})
	return db
}

// Test runs the suite.
func Test(t *testing.T, s Server) {
	t.Run("setup", s.setup)
	t.Run("accounts", s.accounts)
	t.Run("users", s.users)
	t.Run("search", s.search)
	t.Run("follow users", s.followUsers)
	t.Run("identities", s.identities)
	t.Run("tokens", s.tokens)
	t.Run("sessions", s.sessions)
	t.Run("invites", s.invites)
	t.Run("messages", s.messages)
	t.Run("tickets", s.tickets)
	t.Run("customers", s.customers)
	t.Run("keycache", s.keycache)
	t.Run("pool", s.pool)
	t.Run("certificate requests", s.requests)
	t.Run("state", s.state)
	t.Run("nodes", s.nodes)
	t.Run("shared", s.shared)
	t.Run("outbound", s.outbound)
	t.Run("user databases", s.userDBs)
	t.Run("documents", s.documents)
	t.Run("append races", s.appendRaces)
	t.Run("changes", s.changes)
	t.Run("many documents", s.manyDocuments)
	t.Run("sync state", s.syncState)
	t.Run("wait", s.wait)
	t.Run("incoming", s.incoming)
	t.Run("blobs", s.blobs)
	t.Run("large bodies", s.largeBodies)
}

// random returns 32 hex digits.
func random() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// is fails the test unless err is of the kind.
func is(t *testing.T, what string, err error, want problem.Kind) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got %v, want a %s error", what, err, want)
	}
}

// ok fails the test if err is one.
func ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// limited returns the test's context with a deadline.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// together runs n calls of f at once and returns their errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

// count returns how many errors are nil and how many are of the kind, and fails
// the test on any other.
func count(t *testing.T, what string, errs []error, kind problem.Kind) (good, bad int) {
	t.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			good++
		case errors.Is(err, kind):
			bad++
		default:
			t.Fatalf("%s: got %v, want no error or a %s error", what, err, kind)
		}
	}
	return good, bad
}
