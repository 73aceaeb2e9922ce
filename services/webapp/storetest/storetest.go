// Package storetest is the conformance suite of webapp's stores, and an
// implementation of them in memory. The stores in memory and those of
// services/couch pass the same suite.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/webapp"
)

// Test runs the suite. open returns empty stores, in which the invite code
// "once-only" may be used once.
func Test(t *testing.T, open func(t *testing.T) webapp.Stores) {
	for name, f := range map[string]func(*testing.T, webapp.Stores){
		"users":      testUsers,
		"identities": testIdentities,
		"tokens":     testTokens,
		"sessions":   testSessions,
		"invites":    testInvites,
		"tickets":    testTickets,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, err error, kind problem.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %s", what, err, kind)
	}
}

// userID makes an id of a number.
func userID(n int) string { return fmt.Sprintf("%032x", n) }

func newUser(n int, login string) *record.User {
	now := time.Now().UTC().Truncate(time.Second)
	return &record.User{
		ID: userID(n), Type: "User", Login: login, Suite: "srp-3072", PasswordSalt: "00ff", PasswordVerifier: "abcd",
		Enabled: true, ServiceLevel: "1", CreatedAt: now, UpdatedAt: now,
	}
}

func testUsers(t *testing.T, st webapp.Stores) {
	ctx, users := t.Context(), st.Users
	_, err := users.ByID(ctx, userID(1))
	want(t, "ByID before Create", err, problem.NotExist)
	_, err = users.ByLogin(ctx, "alice")
	want(t, "ByLogin before Create", err, problem.NotExist)
	for n, login := range []string{"alice", "alan", "bob"} {
		must(t, users.Create(ctx, newUser(n+1, login)))
	}
	want(t, "Create again", users.Create(ctx, newUser(1, "alice")), problem.Exist)

	got, err := users.ByLogin(ctx, "alice")
	must(t, err)
	fresh := newUser(1, "alice")
	if got.ID != fresh.ID || got.PasswordVerifier != fresh.PasswordVerifier || !got.Enabled || !got.CreatedAt.Equal(got.UpdatedAt) {
		t.Errorf("ByLogin: %+v", got)
	}
	stale, err := users.ByID(ctx, userID(1))
	must(t, err)
	got.PasswordVerifier = "ef01"
	must(t, users.Update(ctx, got))
	want(t, "Update of an old revision", users.Update(ctx, stale), problem.Stale)
	if got, err = users.ByID(ctx, userID(1)); err != nil || got.PasswordVerifier != "ef01" {
		t.Errorf("after Update: %+v, %v", got, err)
	}

	logins, err := users.Search(ctx, "al", 10)
	if must(t, err); !slices.Equal(logins, []string{"alan", "alice"}) {
		t.Errorf("Search: %q", logins)
	}
	if logins, err = users.Search(ctx, "", 2); err != nil || len(logins) != 2 {
		t.Errorf("Search with a limit: %q, %v", logins, err)
	}
	must(t, users.Delete(ctx, userID(1)))
	_, err = users.ByID(ctx, userID(1))
	want(t, "ByID after Delete", err, problem.NotExist)
	_, err = users.ByLogin(ctx, "alice")
	want(t, "ByLogin after Delete", err, problem.NotExist)
}

func newIdentity(user int, login string) *record.Identity {
	return &record.Identity{
		ID: login + ":example.org", Type: "Identity", UserID: userID(user),
		Address: login + "@example.org", Destination: login + "@example.org",
		WKD: nick.WKDHash(login), Enabled: true, CreatedAt: time.Now().UTC().Truncate(time.Second),
	}
}

func testIdentities(t *testing.T, st webapp.Stores) {
	ctx, ids := t.Context(), st.Identities
	_, err := ids.ByAddress(ctx, "alice@example.org")
	want(t, "ByAddress before Create", err, problem.NotExist)
	must(t, ids.Create(ctx, newIdentity(1, "alice")))
	must(t, ids.Create(ctx, newIdentity(1, "alias")))
	must(t, ids.Create(ctx, newIdentity(2, "bob")))
	want(t, "Create of a claimed address", ids.Create(ctx, newIdentity(3, "alice")), problem.Exist)

	got, err := ids.ByAddress(ctx, "alice@example.org")
	if must(t, err); got.UserID != userID(1) {
		t.Errorf("user %q has the address, want %q", got.UserID, userID(1))
	}
	if bob, err := ids.ByWKD(ctx, nick.WKDHash("bob")); err != nil || bob.UserID != userID(2) {
		t.Errorf("ByWKD: %+v, %v", bob, err)
	}
	_, err = ids.ByWKD(ctx, nick.WKDHash("carol"))
	want(t, "ByWKD of nobody", err, problem.NotExist)
	all, err := ids.ByUser(ctx, userID(1))
	if must(t, err); len(all) != 2 {
		t.Errorf("ByUser: %d identities, want 2", len(all))
	}
	stale, err := ids.ByAddress(ctx, "alice@example.org")
	must(t, err)
	got.Keys = map[string]record.Key{"openpgp": {Type: "openpgp", Value: "KEY", Rev: "r"}}
	got.CertFingerprints = map[string]string{"aa:bb": "2030-01-02"}
	must(t, ids.Update(ctx, got))
	want(t, "Update of an old revision", ids.Update(ctx, stale), problem.Stale)
	want(t, "Delete of an old revision", ids.Delete(ctx, stale), problem.Stale)
	if got, err = ids.ByAddress(ctx, "alice@example.org"); err != nil || got.Keys["openpgp"].Value != "KEY" || got.CertFingerprints["aa:bb"] != "2030-01-02" {
		t.Errorf("after Update: %+v, %v", got, err)
	}
	must(t, ids.Delete(ctx, got))
	_, err = ids.ByAddress(ctx, "alice@example.org")
	want(t, "ByAddress after Delete", err, problem.NotExist)
	must(t, ids.Create(ctx, newIdentity(3, "alice"))) // It is free again.
}

func testTokens(t *testing.T, st webapp.Stores) {
	ctx, tokens := t.Context(), st.Tokens
	_, err := tokens.User(ctx, "one")
	want(t, "unknown token", err, problem.Unauthenticated)
	for token, user := range map[string]int{"one": 1, "two": 1, "three": 1, "other": 2} {
		must(t, tokens.Create(ctx, token, userID(user)))
	}
	if id, err := tokens.User(ctx, "one"); id != userID(1) || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	must(t, tokens.Delete(ctx, "one"))
	_, err = tokens.User(ctx, "one")
	want(t, "deleted token", err, problem.Unauthenticated)
	must(t, tokens.DeleteUser(ctx, userID(1)))
	for _, token := range []string{"two", "three"} {
		_, err = tokens.User(ctx, token)
		want(t, "token of a revoked user", err, problem.Unauthenticated)
	}
	if id, err := tokens.User(ctx, "other"); id != userID(2) || err != nil {
		t.Errorf("another user's token: %q, %v", id, err)
	}
	must(t, tokens.Create(ctx, "two", userID(1))) // As after a change of password.
	if id, err := tokens.User(ctx, "two"); id != userID(1) || err != nil {
		t.Errorf("token made again: %q, %v", id, err)
	}
}

func testSessions(t *testing.T, st webapp.Stores) {
	ctx, sessions := t.Context(), st.Sessions
	_, err := sessions.Take(ctx, "a")
	want(t, "unknown session", err, problem.NotExist)
	must(t, sessions.Put(ctx, "a", []byte("data\x00\xff"), time.Now().Add(time.Minute)))
	if data, err := sessions.Take(ctx, "a"); string(data) != "data\x00\xff" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	_, err = sessions.Take(ctx, "a")
	want(t, "session taken before", err, problem.NotExist)
	must(t, sessions.Put(ctx, "old", []byte("data"), time.Now().Add(-time.Second)))
	_, err = sessions.Take(ctx, "old")
	want(t, "expired session", err, problem.NotExist)

	must(t, sessions.Put(ctx, "contended", []byte("data"), time.Now().Add(time.Minute)))
	won := race(8, func() error { _, err := sessions.Take(ctx, "contended"); return err })
	if won != 1 {
		t.Errorf("%d of 8 took one session", won)
	}
}

func testInvites(t *testing.T, st webapp.Stores) {
	want(t, "unknown code", st.Invites.Use(t.Context(), "none-such"), problem.NotExist)
	if won := race(8, func() error { return st.Invites.Use(t.Context(), "once-only") }); won != 1 {
		t.Errorf("%d of 8 used the code", won)
	}
	want(t, "used code", st.Invites.Use(t.Context(), "once-only"), problem.Limit)

	must(t, st.Invites.Create(t.Context(), "made-here", 2, time.Now().Add(time.Hour)))
	want(t, "a code that is there", st.Invites.Create(t.Context(), "made-here", 1, time.Time{}), problem.Exist)
	must(t, st.Invites.Use(t.Context(), "made-here"))
	must(t, st.Invites.Create(t.Context(), "too-late", 1, time.Now().Add(-time.Minute)))
	want(t, "expired code", st.Invites.Use(t.Context(), "too-late"), problem.NotExist)
}

// race calls f n times at once and counts the calls that succeed.
func race(n int, f func() error) (won int) {
	var wg sync.WaitGroup
	results := make(chan error, n)
	for range n {
		wg.Go(func() { results <- f() })
	}
	wg.Wait()
	close(results)
	for err := range results {
		if err == nil {
			won++
		}
	}
	return won
}

func testTickets(t *testing.T, st webapp.Stores) {
	ctx, tickets := t.Context(), st.Tickets
	_, err := tickets.ByID(ctx, "abcd1234")
	want(t, "unknown ticket", err, problem.NotExist)
	ticket := func() *record.Ticket {
		return &record.Ticket{ID: "abcd1234", Type: "Ticket", Subject: "help", Open: true, Comments: []record.Comment{{Body: "how?"}}}
	}
	must(t, tickets.Create(ctx, ticket()))
	want(t, "Create again", tickets.Create(ctx, ticket()), problem.Exist)
	got, err := tickets.ByID(ctx, "abcd1234")
	must(t, err)
	stale := *got
	got.Comments = append(got.Comments, record.Comment{PostedBy: "staff", Body: "so"})
	must(t, tickets.Update(ctx, got))
	want(t, "Update of an old revision", tickets.Update(ctx, &stale), problem.Stale)
	if got, err = tickets.ByID(ctx, "abcd1234"); err != nil || len(got.Comments) != 2 || got.Comments[1].PostedBy != "staff" {
		t.Errorf("after Update: %+v, %v", got, err)
	}
}
