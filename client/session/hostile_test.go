package session_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leap.example/client/session"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// TestHostileServer: a provider that does not know the verifier, or wants to
// learn the password cheaply, gets nowhere.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.addUser(t, srp.SRP3072, "alice", "secret")
	for name, tt := range map[string]struct {
		spoil func(*bonafide.HandshakeResponse)
		want  error
	}{
		"B is 0":         {func(r *bonafide.HandshakeResponse) { r.B = strings.Repeat("0", 768) }, problem.Invalid},
		"B is missing":   {func(r *bonafide.HandshakeResponse) { r.B = "" }, problem.Invalid},
		"weak KDF":       {func(r *bonafide.HandshakeResponse) { r.KDF = &srp.KDF{Name: "argon2id", T: 1, M: 8, P: 1} }, problem.Invalid},
		"KDF of a ton":   {func(r *bonafide.HandshakeResponse) { r.KDF.M = 1 << 31 }, problem.Invalid},
		"no KDF":         {func(r *bonafide.HandshakeResponse) { r.KDF = nil }, problem.Invalid},
		"salt no hex":    {func(r *bonafide.HandshakeResponse) { r.Salt = "xy" }, problem.Invalid},
		"short salt":     {func(r *bonafide.HandshakeResponse) { r.Salt = "00" }, problem.Invalid},
		"unknown suite":  {func(r *bonafide.HandshakeResponse) { r.Suite = "rot13" }, problem.Invalid},
		"weak suite":     {func(r *bonafide.HandshakeResponse) { *r = bonafide.HandshakeResponse{Suite: srp.LEAP1024} }, problem.Permission},
		"classic server": {func(r *bonafide.HandshakeResponse) { r.Suite, r.KDF = "", nil }, problem.Permission},
	} {
		f.set(func() {
			f.spoil = func(r *bonafide.HandshakeResponse) {
				if r.KDF != nil {
					k := *r.KDF
					r.KDF = &k
				}
				tt.spoil(r)
			}
		})
		f.seen()
		_, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret")
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if got := f.seen(); len(got) != 1 {
			t.Errorf("%s: the client went on: %v", name, got)
		}
	}
	f.set(func() { f.spoil = nil })
	for name, answer := range map[string]string{
		"wrong M2":   `{"M2":"` + strings.Repeat("ab", 32) + `","id":"0000000000000000000000000000000a","token":"t"}`,
		"no M2":      `{"id":"0000000000000000000000000000000a","token":"t"}`,
		"no token":   `{"M2":"ab","id":"0000000000000000000000000000000a"}`,
		"path as id": `{"M2":"ab","id":"../../x","token":"t"}`,
		"no JSON":    `hello`,
	} {
		f.set(func() {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				_, err := w.Write([]byte(answer))
				return err == nil
			}
		})
		if s, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret"); err == nil {
			t.Errorf("%s: logged in as %s", name, s.UserID())
		}
	}
}

// TestReplay: recorded answers of an earlier login are worth nothing, to the
// client and to the server.
func TestReplay(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.addUser(t, srp.SRP3072, "alice", "secret")
	recorded := map[string]*httptest.ResponseRecorder{} // By path.
	var proof *http.Request
	f.set(func() {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			rec := recorded[r.URL.Path]
			if rec == nil {
				_, form := body(r)
				r.Body = reader(form)
				proof = r.Clone(t.Context()) // The last one is the PUT.
				proof.Body = reader(form)
				rec = httptest.NewRecorder()
				f.mux().ServeHTTP(rec, r)
				recorded[r.URL.Path] = rec
			}
			maps.Copy(w.Header(), rec.Header())
			w.WriteHeader(rec.Code)
			_, err := w.Write(rec.Body.Bytes())
			return err == nil
		}
	})
	if _, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret"); err != nil {
		t.Fatalf("the recorded login itself: %v", err)
	}
	if _, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret"); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("client believes a replaying server: %v", err)
	}
	w := httptest.NewRecorder()
	f.mux().ServeHTTP(w, proof)
	var e bonafide.ErrorBody
	if json.Unmarshal(w.Body.Bytes(), &e) != nil || w.Code != 422 || e.Errors["login"] == nil {
		t.Errorf("server believes a replayed proof: %d %s", w.Code, w.Body)
	}
}

func TestClassicAccount(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.addUser(t, srp.LEAP1024, "alice", "secret")
	_, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret")
	if d, ok := errors.AsType[*session.DowngradeError](err); !ok || d.Pinned {
		t.Errorf("not allowed: %v", err)
	}
	s, err := p.Login(t.Context(), session.Account{Login: "alice", Classic: true}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	f.forgetTokens()
	if _, err := s.Service(t.Context()); err != nil {
		t.Errorf("renewing: %v", err)
	}

	// An account that has used srp-3072 is never logged in the weak way.
	_, strong, err := p.SignUp(t.Context(), session.Account{Login: "bob"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	f.addUser(t, srp.LEAP1024, "bob", "secret")
	_, err = p.Login(t.Context(), session.Account{Login: "bob", Known: strong, Classic: true}, "secret")
	if d, ok := errors.AsType[*session.DowngradeError](err); !ok || !d.Pinned || !errors.Is(err, problem.Permission) {
		t.Errorf("downgrade: %v", err)
	}

	if _, _, err := p.SignUp(t.Context(), session.Account{Login: "carol", Classic: true}, "secret"); err != nil {
		t.Fatal(err)
	}
	if f.users["carol"].suite != srp.LEAP1024 {
		t.Errorf("classic sign-up with %s", f.users["carol"].suite)
	}
}

func TestPasswordChangedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	s := f.login(t, p)
	f.addUser(t, srp.SRP3072, "alice", "new password")
	f.forgetTokens()
	if _, err := s.Service(t.Context()); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("old password still renews: %v", err)
	}
}
