package webapp_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const password = "correct horse battery"

// testKDF is as cheap as the rules allow.
var testKDF = srp.KDF{Name: "argon2id", T: 2, M: 19456, P: 1}

// credentials are what a client makes of a password. Making them is slow, so
// each login has one set.
type credentials struct {
	suite  srp.Suite
	login  string
	salt   []byte
	secret *srp.Secret
}

var cache sync.Map

func credentialsOf(t *testing.T, suite srp.Suite, login, password string) credentials {
	t.Helper()
	key := string(suite) + "|" + login + "|" + password
	if c, ok := cache.Load(key); ok {
		return c.(credentials)
	}
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := srp.Derive(suite, login, password, salt, testKDF)
	if err != nil {
		t.Fatal(err)
	}
	c := credentials{suite, login, salt, secret}
	cache.Store(key, c)
	return c
}

func (c credentials) signup() bonafide.SignupRequest {
	r := bonafide.SignupRequest{
		Login: c.login, PasswordSalt: hex.EncodeToString(c.salt), PasswordVerifier: c.secret.Verifier(), Suite: c.suite,
	}
	if c.suite == srp.SRP3072 {
		r.KDF = &testKDF
	}
	return r
}

// addUser puts an account with its address and a token "login-token" into the
// stores. n makes the id.
func (w *world) addUser(n int, login string, change func(*record.User)) *record.User {
	w.t.Helper()
	c := credentialsOf(w.t, srp.SRP3072, login, password)
	u := &record.User{
		ID: fmt.Sprintf("%032x", n), Type: "User", Login: login, Enabled: true, ServiceLevel: "1",
		Suite: srp.SRP3072, KDF: &testKDF, PasswordSalt: hex.EncodeToString(c.salt), PasswordVerifier: c.secret.Verifier(),
		CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	if change != nil {
		change(u)
	}
	st, ctx := w.stores.Stores(), w.t.Context()
	id := &record.Identity{
		ID: login + ":" + domain, Type: "Identity", UserID: u.ID, Address: login + "@" + domain,
		Destination: login + "@" + domain, Enabled: true, CreatedAt: time.Now(),
	}
	for _, err := range []error{st.Users.Create(ctx, u), st.Identities.Create(ctx, id), st.Tokens.Create(ctx, login+"-token", u.ID)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return u
}

func (w *world) identity(login string) *record.Identity {
	w.t.Helper()
	id, err := w.stores.Stores().Identities.ByAddress(w.t.Context(), w.address(login))
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) user(login string) *record.User {
	w.t.Helper()
	u, err := w.stores.Stores().Users.ByLogin(w.t.Context(), login)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}
