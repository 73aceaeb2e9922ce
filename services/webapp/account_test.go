package webapp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// pgpKey makes an armored OpenPGP key for an address.
func pgpKey(t *testing.T, address string, private bool) string {
	t.Helper()
	e, err := openpgp.NewEntity("", "", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	kind, serialize := openpgp.PublicKeyType, e.Serialize
	if private {
		kind = openpgp.PrivateKeyType
	}
	w, err := armor.Encode(&b, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if private {
		err = e.SerializePrivate(w, nil)
	} else {
		err = serialize(w)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func keyForm(armored string) string { return "user[public_key]=" + url.QueryEscape(armored) }

func TestPublicKey(t *testing.T) {
	w := newWorld(t)
	alice := w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	put := call{method: "PUT", url: w.api + "/1/users/" + alice.ID + ".json", token: "alice-token"}
	key := pgpKey(t, "alice@example.org", false)
	refused := func(why string) string { return `{"errors":{"public_key_block":["` + why + `"]}}` }
	for _, tt := range []struct {
		name, key string
		status    int
		want      string
	}{
		{"no key", "hello", 422, refused("does not look like an armored pgp public key block")},
		{"private key", pgpKey(t, "alice@example.org", true), 422, refused("does not look like an armored pgp public key block")},
		{"somebody else's", pgpKey(t, "bob@example.org", false), 422, refused("is not a key of alice@example.org")},
		{"broken", strings.Replace(key, "\n\n", "\n\nAAAA", 1), 422, `{"errors":{"public_key_block":["m…`},
		{"good", key, 204, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			put.body = keyForm(tt.key)
			w.wantCall(c, put, tt.status, tt.want)
		})
	}
	w.t = t
	id := w.identity("alice")
	if len(id.Fingerprint) != 40 || id.Keys["openpgp"].Value == "" || len(id.Keys["openpgp"].Rev) != 12 {
		t.Errorf("stored %+v", id)
	}
	// The same with JSON, and where others find it.
	body, err := json.Marshal(map[string]any{"user": map[string]string{"public_key": key}})
	if err != nil {
		t.Fatal(err)
	}
	put.body = string(body)
	w.wantCall(c, put, 204, "")
	stored := id.Keys["openpgp"].Value
	resp := w.wantCall(c, call{method: "GET", url: w.web + "/key/alice"}, 200, strings.TrimSuffix(stored, "\n"))
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("key as %q", got)
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	alice := w.addUser(1, "alice", nil)
	w.addUser(2, "boss", nil)
	if err := w.stores.Stores().Tokens.Create(t.Context(), "other-device", alice.ID); err != nil {
		t.Fatal(err)
	}
	alias := w.identity("alice")
	alias.ID, alias.Rev, alias.Address = "alias:example.org", "", "alias@example.org"
	if err := w.stores.Stores().Identities.Create(t.Context(), alias); err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"alice", "alias", "boss"} {
		id := w.identity(login)
		id.CertFingerprints = map[string]string{"00:11": "2100-01-01"}
		if err := w.stores.Stores().Identities.Update(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	c := w.client()
	next := credentialsOf(t, srp.SRP3072, "alice", "another password")
	s := next.signup()
	req := bonafide.UpdateUserRequest{PasswordSalt: &s.PasswordSalt, PasswordVerifier: &s.PasswordVerifier, Suite: &s.Suite, KDF: s.KDF}
	put := call{method: "PUT", url: w.api + "/1/users/" + alice.ID + ".json", token: "alice-token", body: string(req.Encode())}
	w.wantCall(c, put, 204, "")
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: "other-device"}, 401, notLoggedIn)
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: "alice-token"}, 200, "{}")
	for _, login := range []string{"alice", "alias"} {
		if prints := w.identity(login).CertFingerprints; len(prints) != 0 {
			t.Errorf("%s can still send with %v", login, prints)
		}
	}
	if len(w.identity("boss").CertFingerprints) != 1 {
		t.Error("another user's certificates are withdrawn")
	}
	w.begin(next).finish()
	if status, body := w.begin(credentialsOf(t, srp.SRP3072, "alice", password)).proof(); status != 422 || body != wrongPassword {
		t.Errorf("old password: %d %s", status, body)
	}
	// By an administrator: all of the user's tokens, none of the administrator's.
	put.token = "boss-token"
	w.wantCall(c, put, 204, "")
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: "alice-token"}, 401, notLoggedIn)
	w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: "boss-token"}, 200, "{}")
}

func TestUpdateRefused(t *testing.T) {
	w := newWorld(t)
	w.cfg.LegacyClients = true
	alice := w.addUser(1, "alice", nil)
	w.addUser(2, "bob", nil)
	w.start()
	c := w.client()
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", "user[unknown]=1", `{"errors":{"base":["nothing to change"]}}`},
		{"salt alone", "user[password_salt]=aabb", `{"errors":{"password_verifier":["must be a hex string of at least 8 characters"]}}`},
		{"back to a classic login", "user[password_salt]=aabbccdd&user[password_verifier]=123456789abcdef", `{"errors":{"suite":["the account does not go back to an older login"]}}`},
		{"login alone", "user[login]=alicia", `{"errors":{"login":["a new login needs a new password verifier"]}}`},
		{"login of another", signupBody(t, "bob"), taken},
		{"reserved login", signupBody(t, "abuse"), taken},
		{"address of contact", "user[contact_email]=a b", `{"errors":{"contact_email":["is not a mail address"]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.wantCall(c, call{method: "PUT", url: w.api + "/1/users/" + alice.ID, token: "alice-token", body: tt.body}, 422, tt.want)
		})
	}
}

func TestUpdateRest(t *testing.T) {
	w := newWorld(t)
	alice := w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	put := call{method: "PUT", url: w.api + "/1/users/" + alice.ID, token: "alice-token"}
	put.body = "user[recovery_code_salt]=aabb&user[recovery_code_verifier]=0123456789&user[contact_email]=a@example.com"
	w.wantCall(c, put, 204, "")
	u := w.user("alice")
	if u.RecoveryCodeSalt != "aabb" || u.RecoveryCodeVerifier != "0123456789" || u.ContactEmail != "a@example.com" {
		t.Errorf("stored %+v", u)
	}
	if u.PasswordVerifier != alice.PasswordVerifier {
		t.Error("the password changed")
	}
	alicia := credentialsOf(t, srp.SRP3072, "alicia", password)
	s := alicia.signup()
	req := bonafide.UpdateUserRequest{Login: &s.Login, PasswordSalt: &s.PasswordSalt, PasswordVerifier: &s.PasswordVerifier, Suite: &s.Suite, KDF: s.KDF}
	put.body = string(req.Encode())
	w.wantCall(c, put, 204, "")
	w.begin(alicia).finish()
	if id := w.identity("alice"); id.UserID != alice.ID || id.Destination != "alicia@example.org" {
		t.Errorf("the old address: %+v", id)
	}
	if id := w.identity("alicia"); id.UserID != alice.ID || id.Destination != "alicia@example.org" {
		t.Errorf("the new address: %+v", id)
	}
	if salt := w.user("alicia").PasswordSalt; salt != hex.EncodeToString(alicia.salt) {
		t.Errorf("salt %q", salt)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	alice := w.addUser(1, "alice", nil)
	bob := w.addUser(2, "bob", nil)
	tester := w.addUser(3, "tmp_user3", nil)
	w.start()
	c := w.client()
	deleted := `{"success":"user deleted"}`
	w.wantCall(c, call{method: "DELETE", url: w.api + "/1/users/" + alice.ID + ".json?identities=destroy", token: "alice-token"}, 200, deleted)
	w.wantCall(c, call{method: "DELETE", url: w.api + "/1/users/" + bob.ID, token: "bob-token"}, 200, deleted)
	w.wantCall(c, call{method: "DELETE", url: w.api + "/1/users/" + tester.ID, token: monitorToken}, 200, deleted)
	for _, token := range []string{"alice-token", "bob-token"} {
		w.wantCall(c, call{method: "GET", url: w.api + "/2/keys", token: token}, 401, notLoggedIn)
	}
	// A destroyed address is free, a blocked one is not.
	w.wantCall(c, call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "alice")}, 201, `{"login":"alice",…`)
	w.wantCall(c, call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "bob")}, 422, taken)
	w.wantCall(c, call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "tmp_user3"), token: monitorToken}, 201, `{"login":"tmp_user3",…`)
	if id := w.identity("bob"); id.UserID != "" || id.Enabled || len(id.Keys) > 0 {
		t.Errorf("blocked identity: %+v", id)
	}
}

// A deletion that is interrupted anywhere can be repeated, and in between
// nobody else gets the name.
func TestDeleteInterrupted(t *testing.T) {
	for _, at := range []string{"identities.ByUser", "identities.Delete", "tokens.DeleteUser", "users.Delete"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t)
			alice := w.addUser(1, "alice", nil)
			w.addUser(2, "boss", nil)
			failed := false
			w.stores.Fail = func(call string) error {
				if call == at && !failed {
					failed = true
					return errors.New("connection reset")
				}
				return nil
			}
			w.start()
			del := call{method: "DELETE", url: w.api + "/1/users/" + alice.ID + "?identities=destroy", token: "boss-token"}
			w.wantCall(w.client(), del, 500, `{"error":"The server failed to process your request.…`)
			w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "alice")}, 422, taken)
			w.wantCall(w.client(), del, 200, `{"success":"user deleted"}`)
			if _, err := w.stores.Stores().Users.ByLogin(t.Context(), "alice"); !errors.Is(err, problem.NotExist) {
				t.Errorf("after all: %v", err)
			}
			w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "alice")}, 201, `{"login":"alice",…`)
		})
	}
}

func TestHandshakeLife(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	var expires time.Time
	w.wrap = spySessions(&expires)
	w.start()
	before := time.Now()
	w.begin(credentialsOf(t, srp.SRP3072, "alice", password))
	if life := expires.Sub(before); life < 50*time.Second || life > 90*time.Second {
		t.Errorf("a handshake lives for %v, want a minute", life)
	}
}
