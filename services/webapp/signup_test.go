package webapp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const taken = `{"errors":{"login":["has already been taken"]}}`

// signupBody is the form of a sign-up with somebody's verifier: what is asked
// here does not depend on the password.
func signupBody(t *testing.T, login string, more ...string) string {
	t.Helper()
	req := credentialsOf(t, srp.SRP3072, "alice", password).signup()
	req.Login = login
	return strings.Join(append([]string{string(req.Encode())}, more...), "&")
}

func TestSignupRefused(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	verifier := credentialsOf(t, srp.SRP3072, "alice", password).secret.Verifier()
	for _, tt := range []struct{ name, body, want string }{
		{"taken", signupBody(t, "alice"), taken},
		{"reserved", signupBody(t, "postmaster"), taken},
		{"reserved here", signupBody(t, "example"), taken},
		{"ends like a path", signupBody(t, "data.json"), taken},
		{"short", signupBody(t, "a"), `{"errors":{"login":["must have at least two characters"]}}`},
		{"upper case", signupBody(t, "Carol"), `{"errors":{"login":["only lowercase letters, digits, . - and _ allowed"]}}`},
		{"address", signupBody(t, "carol@example.org"), `{"errors":{"login":["only lowercase letters, digits, . - and _ allowed"]}}`},
		{"no members", "user[login]=carol", `{"errors":{"password_salt":["must be a hex string"],"password_verifier":["must be a hex string of at least 8 characters"]}}`},
		{"no user", "", `{"errors":{"base":["request has no media type"]}}`},
		{"verifier 0", strings.Replace(signupBody(t, "carol"), verifier, strings.Repeat("0", 768), 1), `{"errors":{"password_verifier":["is not a number of the group"]}}`},
		{"verifier above N", strings.Replace(signupBody(t, "carol"), verifier, strings.Repeat("f", 768), 1), `{"errors":{"password_verifier":["is not a number of the group"]}}`},
		{"weak derivation", strings.Replace(signupBody(t, "carol"), "=19456", "=64", 1), `{"errors":{"kdf":["is not a valid key derivation"]}}`},
		{"classic client", "user[login]=carol&user[password_salt]=aabbccdd&user[password_verifier]=123456789abcdef", `{"errors":{"suite":["this provider needs a newer client"]}}`},
		{"twice", signupBody(t, "carol", "user[login]=dora"), `{"errors":{"base":["a member occurs twice"]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.wantCall(c, call{method: "POST", url: w.api + "/1/users.json", body: tt.body}, 422, tt.want)
		})
	}
	w.t = t
	w.wantCall(c, call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "webmaster")}, 201, `{"login":"webmaster","ok":true,…`)
}

func TestSignupJSON(t *testing.T) {
	w := newWorld(t).start()
	req := credentialsOf(t, srp.SRP3072, "alice", password).signup()
	body, err := json.Marshal(map[string]any{"user": map[string]any{
		"login": "alice", "password_salt": strings.ToUpper(req.PasswordSalt), "password_verifier": req.PasswordVerifier,
		"suite": "srp-3072", "kdf": testKDF,
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.wantCall(w.client(), call{method: "POST", url: w.api + "/users", body: string(body)}, 201, `{"login":"alice","ok":true,…`)
	u, id := w.user("alice"), w.identity("alice")
	if u.PasswordSalt != req.PasswordSalt || *u.KDF != testKDF || !u.Enabled || u.ServiceLevel != "1" {
		t.Errorf("stored %+v", u)
	}
	if id.UserID != u.ID || id.Destination != "alice@example.org" || id.WKD == "" || !id.Enabled {
		t.Errorf("stored %+v", id)
	}
	w.begin(credentialsOf(t, srp.SRP3072, "alice", password)).finish()
}

func TestClassicSignup(t *testing.T) {
	w := newWorld(t)
	w.cfg.LegacyClients = true
	w.start()
	vera := credentialsOf(t, srp.LEAP1024, "vera", password)
	body := fmt.Sprintf("user[login]=vera&user[password_salt]=%x&user[password_verifier]=%s", vera.salt, vera.secret.Verifier())
	w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: body}, 201, `{"login":"vera","ok":true,…`)
	w.begin(vera).finish()
}

func TestPolicies(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		w := newWorld(t)
		w.provider.EnrollmentPolicy = "closed"
		w.start()
		w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "carol")}, 403, "")
		w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "test_user2"), token: monitorToken}, 201, `{"login":"test_user2",…`)
		w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "carol"), token: monitorToken}, 403, notAuthorized)
	})
	t.Run("invite", func(t *testing.T) {
		w := newWorld(t)
		w.provider.EnrollmentPolicy = "invite"
		w.stores.AddInvite("abcd-efgh", 2)
		w.addUser(1, "alice", nil)
		w.start()
		for _, tt := range []struct {
			login, code string
			status      int
			want        string
		}{
			{"bob", "", 422, `{"errors":{"invite_code":["This is not a valid code"]}}`},
			{"bob", "none-such", 422, `{"errors":{"invite_code":["This is not a valid code"]}}`},
			{"alice", "abcd-efgh", 422, taken}, // Does not use the code.
			{"bob", "abcd-efgh", 201, `{"login":"bob",…`},
			{"carol", " ABCD-efgh ", 201, `{"login":"carol",…`},
			{"dora", "abcd-efgh", 422, `{"errors":{"invite_code":["This code has already been used"]}}`},
		} {
			w.wantCall(w.client(), call{
				method: "POST", url: w.api + "/1/users", body: signupBody(t, tt.login, "user[invite_code]="+tt.code),
			}, tt.status, tt.want)
		}
		if _, err := w.stores.Stores().Identities.ByAddress(t.Context(), w.address("dora")); !errors.Is(err, problem.NotExist) {
			t.Errorf("the address of a refused sign-up: %v, want it free", err)
		}
		if code := w.user("bob").InviteCode; code != "" {
			t.Errorf("it is recorded who was invited with %q", code)
		}
	})
}

// An address whose user does not exist is taken over after a minute, not
// before, and not when it is blocked.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	claim := func(login, userID string, age time.Duration) {
		t.Helper()
		if err := w.stores.Stores().Identities.Create(t.Context(), &record.Identity{
			ID: login + ":" + domain, Type: "Identity", UserID: userID, Address: login + "@" + domain, CreatedAt: time.Now().Add(-age),
		}); err != nil {
			t.Fatal(err)
		}
	}
	claim("fresh", strings.Repeat("f", 32), time.Second)
	claim("crashed", strings.Repeat("c", 32), 2*time.Minute)
	claim("blocked", "", time.Hour)
	claim("alias", w.user("alice").ID, time.Hour)
	w.start()
	for login, ok := range map[string]bool{"fresh": false, "crashed": true, "blocked": false, "alias": false} {
		status, want := 422, taken
		if ok {
			status, want = 201, `{"login":"`+login+`",…`
		}
		w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, login)}, status, want)
	}
	if id := w.identity("crashed"); id.UserID != w.user("crashed").ID {
		t.Errorf("the address belongs to %q", id.UserID)
	}
}

// Whatever fails in the middle of a sign-up: the name is free for another one
// at once or after a minute, and no user is without an address.
func TestSignupFails(t *testing.T) {
	for _, at := range []string{"identities.Create", "users.ByLogin", "users.Create"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t)
			failed := false
			w.stores.Fail = func(call string) error {
				if call == at && !failed {
					failed = true
					return problem.Unavailable.Errorf("database away")
				}
				return nil
			}
			w.start()
			signup := call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "carol")}
			w.wantCall(w.client(), signup, 503, `{"error":"unavailable","message":"database away"}`)
			if at != "users.Create" { // There the user may exist.
				w.wantCall(w.client(), signup, 201, `{"login":"carol",…`)
				return
			}
			w.wantCall(w.client(), signup, 422, taken)
			id := w.identity("carol")
			id.CreatedAt = id.CreatedAt.Add(-2 * time.Minute)
			if err := w.stores.Stores().Identities.Update(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			w.wantCall(w.client(), signup, 201, `{"login":"carol",…`)
		})
	}
}
