package webapp_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const (
	wrongPassword = `{"errors":{"base":"Not a valid username/password combination"}}`
	noHandshake   = `{"errors":{"login":"Could not understand your login attempt. Please first send your login and a SRP ephemeral value A and then send the client_auth in the same session (using cookies)."}}`
)

func (w *world) address(login string) nick.Address { return nick.Address(login + "@" + domain) }

// attempt is a login as a client of the house makes it.
type attempt struct {
	w      *world
	c      *http.Client
	creds  credentials
	client *srp.Client
	reply  bonafide.HandshakeResponse
}

// begin makes the first request and expects a full answer.
func (w *world) begin(creds credentials) *attempt {
	w.t.Helper()
	client, err := srp.NewClient(creds.suite, creds.login, domain, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &attempt{w: w, c: w.client(), creds: creds, client: client}
	req := bonafide.HandshakeRequest{Login: creds.login, A: client.A(), Suite: creds.suite}
	resp, body := w.do(a.c, call{method: "POST", url: w.api + "/1/sessions", body: string(req.Encode())})
	if resp.StatusCode != 200 {
		w.t.Fatalf("handshake: %d %s", resp.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &a.reply); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// proof makes the second request.
func (a *attempt) proof() (status int, body string) {
	a.w.t.Helper()
	m1, err := a.client.Respond(a.creds.secret, a.creds.salt, a.reply.B)
	if err != nil {
		a.w.t.Fatal(err)
	}
	resp, body := a.w.do(a.c, call{
		method: "PUT", url: a.w.api + "/1/sessions/" + a.creds.login,
		body: string(bonafide.AuthRequest{ClientAuth: m1}.Encode()),
	})
	return resp.StatusCode, body
}

// finish expects the login to succeed and returns the token.
func (a *attempt) finish() bonafide.AuthResponse {
	a.w.t.Helper()
	status, body := a.proof()
	var reply bonafide.AuthResponse
	if err := json.Unmarshal([]byte(body), &reply); status != 200 || err != nil {
		a.w.t.Fatalf("login: %d %s", status, body)
	}
	if err := a.client.Verify(reply.M2); err != nil {
		a.w.t.Error(err)
	}
	return reply
}

func TestSignupAndLogin(t *testing.T) {
	w := newWorld(t).start()
	creds := credentialsOf(t, srp.SRP3072, "alice", password)
	resp, body := w.do(w.client(), call{method: "POST", url: w.api + "/1/users", body: string(creds.signup().Encode())})
	var made bonafide.SignupResponse
	if err := json.Unmarshal([]byte(body), &made); resp.StatusCode != 201 || err != nil {
		t.Fatalf("sign-up: %d %s", resp.StatusCode, body)
	}
	if want := fmt.Sprintf(`{"login":"alice","ok":true,"id":"%s","enabled":true}`, made.ID); body != want || len(made.ID) != 32 {
		t.Errorf("got %s, want %s", body, want)
	}
	a := w.begin(creds)
	if a.reply.Suite != srp.SRP3072 || *a.reply.KDF != testKDF || a.reply.Salt != hex.EncodeToString(creds.salt) {
		t.Errorf("handshake: %+v", a.reply)
	}
	reply := a.finish()
	if reply.ID != made.ID || len(reply.Token) < 40 || strings.HasPrefix(reply.Token, "_") {
		t.Errorf("login: %+v", reply)
	}
	c := w.client()
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: reply.Token}, 200, `{}`)
	w.wantCall(c, call{method: "DELETE", url: w.api + "/1/logout", token: reply.Token}, 204, "")
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: reply.Token}, 401, notLoggedIn)
}

func TestLoginFailures(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.addUser(2, "bob", func(u *record.User) { u.Enabled = false })
	w.start()
	good := credentialsOf(t, srp.SRP3072, "alice", password)

	t.Run("wrong password, unknown and disabled are one answer", func(t *testing.T) {
		wrong := credentialsOf(t, srp.SRP3072, "alice", "incorrect")
		disabled := credentialsOf(t, srp.SRP3072, "bob", password) // The right password.
		unknown := credentialsOf(t, srp.SRP3072, "carol", password)
		var shapes []string
		for _, creds := range []credentials{wrong, disabled, unknown} {
			a := w.begin(creds)
			shapes = append(shapes, fmt.Sprint(len(a.reply.B), len(a.reply.Salt), a.reply.Suite, a.reply.KDF != nil))
			if status, body := a.proof(); status != 422 || body != wrongPassword {
				t.Errorf("%s: %d %s", creds.login, status, body)
			}
		}
		if shapes[0] != shapes[1] || shapes[0] != shapes[2] {
			t.Errorf("handshakes differ: %q", shapes)
		}
	})
	t.Run("unknown login has a stable salt", func(t *testing.T) {
		unknown := credentialsOf(t, srp.SRP3072, "carol", password)
		one, two := w.begin(unknown).reply, w.begin(unknown).reply
		if one.Salt != two.Salt || one.B == two.B || *one.KDF != srp.DefaultKDF() {
			t.Errorf("answers: %+v, %+v", one, two)
		}
	})
	t.Run("replayed handshake", func(t *testing.T) {
		a := w.begin(good)
		a.finish()
		if status, body := a.proof(); status != 422 || body != noHandshake {
			t.Errorf("second proof: %d %s", status, body)
		}
	})
	t.Run("one guess per handshake", func(t *testing.T) {
		a := w.begin(good)
		w.wantCall(a.c, call{method: "PUT", url: w.api + "/1/sessions/alice", body: "client_auth=" + strings.Repeat("0", 64)}, 422, wrongPassword)
		if status, body := a.proof(); status != 422 || body != noHandshake {
			t.Errorf("right proof after a wrong one: %d %s", status, body)
		}
	})
	t.Run("another login than in the handshake", func(t *testing.T) {
		a := w.begin(good)
		w.wantCall(a.c, call{method: "PUT", url: w.api + "/1/sessions/bob", body: "client_auth=00"}, 422, noHandshake)
	})
	t.Run("no cookie", func(t *testing.T) {
		a := w.begin(good)
		a.c = w.client()
		if status, body := a.proof(); status != 422 || body != noHandshake {
			t.Errorf("without the cookie: %d %s", status, body)
		}
	})
	t.Run("password changed in between", func(t *testing.T) {
		a := w.begin(good)
		u := w.user("alice")
		before := u.PasswordVerifier
		u.PasswordVerifier = strings.Repeat("1", len(before))
		if err := w.stores.Stores().Users.Update(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if status, body := a.proof(); status != 422 || body != wrongPassword {
			t.Errorf("with the old password: %d %s", status, body)
		}
		u.PasswordVerifier = before
		if err := w.stores.Stores().Users.Update(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHandshakeRefused(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	zero := strings.Repeat("0", 768) // A ≡ 0 modulo N.
	n := strings.Repeat("f", 768)    // Above N.
	for _, tt := range []struct{ name, body, want string }{
		{"no A", "login=alice&suite=srp-3072", `{"errors":{"base":"A is missing or malformed"}}`},
		{"A is 0", "login=alice&suite=srp-3072&A=" + zero, `{"errors":{"base":"A is 0 modulo N"}}`},
		{"A is 0, unknown login", "login=nobody1&suite=srp-3072&A=" + zero, `{"errors":{"base":"A is 0 modulo N"}}`},
		{"A is above N", "login=alice&suite=srp-3072&A=" + n, `{"errors":{"base":"A is not below N"}}`},
		{"A is short", "login=alice&suite=srp-3072&A=2", `{"errors":{"base":"A is not 768 lower-case hex digits"}}`},
		{"A is no number", "login=alice&suite=srp-3072&A=xyz", `{"errors":{"base":"A is missing or malformed"}}`},
		{"no login", "A=2", `{"errors":{"base":"login is missing or too long"}}`},
		{"no media", "", `{"errors":{"base":"request has no media type"}}`},
		{"malformed JSON", `{"login":`, `{"errors":{"base":"malformed JSON object"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/sessions", body: tt.body}, 422, tt.want)
		})
	}
}

func TestSuites(t *testing.T) {
	classic := func(legacy bool) *world {
		w := newWorld(t)
		w.cfg.LegacyClients = legacy
		w.addUser(1, "alice", nil)
		w.addUser(2, "vera", func(u *record.User) {
			c := credentialsOf(t, srp.LEAP1024, "vera", password)
			u.Suite, u.KDF, u.PasswordVerifier, u.PasswordSalt = srp.LEAP1024, nil, c.secret.Verifier(), hex.EncodeToString(c.salt)
		})
		return w.start()
	}
	begin := func(login, suite string) call {
		return call{method: "POST", body: "login=" + login + "&A=1234567" + suite}
	}
	t.Run("with legacy clients", func(t *testing.T) {
		w := classic(true)
		for _, tt := range []struct{ login, suite, want string }{
			{"alice", "", `{"suite":"srp-3072"}`},
			{"nobody1", "", `{"suite":"srp-3072"}`},
			{"vera", "&suite=srp-3072", `{"suite":"leap-1024"}`},
			{"vera", "&suite=leap-1024", `{"B":"…`},
		} {
			c := begin(tt.login, tt.suite)
			c.url = w.api + "/1/sessions"
			w.wantCall(w.client(), c, 200, tt.want)
		}
		a := w.begin(credentialsOf(t, srp.LEAP1024, "vera", password))
		if a.reply.Suite != "" || a.reply.KDF != nil {
			t.Errorf("a classic client gets %+v", a.reply)
		}
		a.finish()
	})
	t.Run("without", func(t *testing.T) {
		w := classic(false)
		for _, login := range []string{"alice", "nobody1", "vera"} {
			c := begin(login, "")
			c.url = w.api + "/1/sessions"
			w.wantCall(w.client(), c, 200, `{"suite":"srp-3072"}`)
		}
		vera := credentialsOf(t, srp.SRP3072, "vera", password)
		if status, body := w.begin(vera).proof(); status != 422 || body != wrongPassword {
			t.Errorf("login of a suite that is not served: %d %s", status, body)
		}
		w.wantCall(w.client(), call{
			method: "POST", url: w.api + "/1/users",
			body: string(credentialsOf(t, srp.LEAP1024, "wilma", password).signup().Encode()),
		}, 422, `{"errors":{"suite":["this provider needs a newer client"]}}`)
	})
}
