package session_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/client/session"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	id, cred, err := p.SignUp(t.Context(), session.Account{Login: "alice"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if f.users["alice"].suite != srp.SRP3072 {
		t.Errorf("signed up with %s", f.users["alice"].suite)
	}
	if _, _, err := p.SignUp(t.Context(), session.Account{Login: "alice"}, "x"); !errors.Is(err, problem.Exist) {
		t.Errorf("name taken: %v", err)
	}
	if _, _, err := p.SignUp(t.Context(), session.Account{Login: "Alice!"}, "x"); !errors.Is(err, problem.Invalid) {
		t.Errorf("bad name: %v", err)
	}
	if _, _, err := p.SignUp(t.Context(), session.Account{Login: "bob"}, ""); !errors.Is(err, problem.Invalid) {
		t.Errorf("no password: %v", err)
	}

	s, err := p.Login(t.Context(), session.Account{Login: "Alice", Known: cred, UserID: id}, "")
	if err != nil {
		t.Fatal(err)
	}
	if s.UserID() != id || s.Address() != "alice@"+domain || s.Credentials() != cred {
		t.Errorf("session of %s, %s", s.UserID(), s.Address())
	}
	if err := s.PublishKey(t.Context(), "-----BEGIN PGP PUBLIC KEY BLOCK-----\n+/=\n"); err != nil || !strings.HasSuffix(f.key, "+/=\n") {
		t.Errorf("publish: %v, %q", err, f.key)
	}
	if r, err := s.Service(t.Context()); err != nil || r.Name != "free" {
		t.Errorf("service: %+v, %v", r, err)
	}
	if m, err := s.Messages(t.Context(), "en"); err != nil || len(m) != 1 || m[0].Locale != "en" {
		t.Errorf("messages: %+v, %v", m, err)
	}

	// The token expires: the session logs in again by itself, once.
	f.forgetTokens()
	f.seen()
	if _, err := s.Service(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{"GET /1/service 401", "POST /1/sessions 200", "PUT /1/sessions/alice 200", "GET /1/service 200"}
	if got := f.seen(); !slices.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context(), "an older token"); err != nil || len(f.seen()) != 0 {
		t.Errorf("renewed although another did: %v", err)
	}
	if err := s.Renew(t.Context(), token); err != nil {
		t.Error(err)
	}

	if err := s.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Token(t.Context()); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("token after logout: %v", err)
	}
	if _, err := s.Service(t.Context()); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("request after logout: %v", err)
	}

	s, err = p.Login(t.Context(), session.Account{Login: "alice"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteAccount(t.Context()); err != nil || f.users["alice"] != nil {
		t.Errorf("delete: %v", err)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.addUser(t, srp.SRP3072, "alice", "secret")
	for _, tt := range []struct{ login, password string }{{"alice", "Secret"}, {"nobody", "secret"}} {
		_, err := p.Login(t.Context(), session.Account{Login: tt.login}, tt.password)
		if l, ok := errors.AsType[*bonafide.LoginError](err); !ok || *l != *bonafide.WrongPassword() || !errors.Is(err, problem.Unauthenticated) {
			t.Errorf("%s: %v", tt.login, err)
		}
	}
	if _, err := p.Login(t.Context(), session.Account{Login: "alice", UserID: "cafe0000"}, "secret"); !errors.Is(err, problem.Invalid) {
		t.Errorf("other user id: %v", err)
	}
	if _, err := p.Login(t.Context(), session.Account{Login: "alice"}, ""); !errors.Is(err, problem.Invalid) {
		t.Errorf("empty password: %v", err)
	}
}

func TestSMTPCert(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	now := time.Now()
	opt := f.options()
	opt.Now = func() time.Time { return now }
	s := f.login(t, f.bootstrap(t, opt))
	ask := func() []byte {
		t.Helper()
		c, err := s.SMTPCert(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificate[0]
	}
	first := ask()
	if string(ask()) != string(first) {
		t.Error("a fresh certificate is fetched again")
	}
	now = now.Add(25 * 24 * time.Hour) // Less than a third of 30 days is left.
	f.set(func() { f.smtpLife = 60 * 24 * time.Hour })
	second := ask()
	if string(second) == string(first) {
		t.Error("an old certificate is not renewed")
	}
	s.DropSMTPCert()
	if third := ask(); string(third) == string(second) {
		t.Error("a refused certificate is used again")
	} else {
		second = third
	}
	f.set(func() {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	now = now.Add(30 * 24 * time.Hour)
	if string(ask()) != string(second) {
		t.Error("a valid certificate is given up because the provider is down")
	}
	now = now.Add(90 * 24 * time.Hour)
	if _, err := s.SMTPCert(t.Context()); !errors.Is(err, problem.Unavailable) {
		t.Errorf("expired, provider down: %v", err)
	}
	for name, answer := range map[string]string{"no PEM": "hello", "empty": ""} {
		f.set(func() {
			f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
				_, err := w.Write([]byte(answer))
				return err == nil
			}
		})
		if _, err := s.SMTPCert(t.Context()); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
