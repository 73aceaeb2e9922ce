package bonafide_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

const jsonType = "application/json; charset=utf-8"

func kdf() *srp.KDF { k := srp.DefaultKDF(); return &k }

//go:fix inline
func ptr[T any](v T) *T { return new(v) }

func verifier() string { return strings.Repeat("ab", 384) }

func TestSignup(t *testing.T) {
	full := bonafide.SignupRequest{
		Login: "alice", PasswordSalt: strings.Repeat("0f", 16), PasswordVerifier: verifier(),
		Suite: srp.SRP3072, KDF: kdf(), InviteCode: "abcd-efgh", ContactEmail: "a@b",
	}
	classic := bonafide.SignupRequest{Login: "alice", PasswordSalt: "abc", PasswordVerifier: "0123456789", Suite: srp.LEAP1024}
	for _, tt := range []struct {
		name, media, body string
		want              bonafide.SignupRequest
	}{
		{"encoded", bonafide.FormType, string(full.Encode()), full},
		{"classic form", bonafide.FormType, "utf8=%E2%9C%93&user[login]=alice&user[password_salt]=abc&user%5Bpassword_verifier%5D=0123456789", classic},
		{"classic JSON", "application/json", `{"user":{"login":"alice","password_salt":"abc","password_verifier":"0123456789","x":[1],"y":null}}`, classic},
		{"JSON", jsonType, `{"user":{"login":"alice","password_salt":"` + full.PasswordSalt + `","password_verifier":"` + verifier() +
			`","suite":"srp-3072","kdf":{"name":"argon2id","t":3,"m":65536,"p":1},"invite_code":"abcd-efgh","contact_email":"a@b"}}`, full},
	} {
		got, err := bonafide.DecodeSignup(tt.media, []byte(tt.body))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
}

func TestSignupRefused(t *testing.T) {
	good := bonafide.SignupRequest{
		Login: "alice", PasswordSalt: strings.Repeat("0f", 16), PasswordVerifier: verifier(), Suite: srp.SRP3072, KDF: kdf(),
	}
	for field, spoil := range map[string]func(*bonafide.SignupRequest){
		"login":             func(r *bonafide.SignupRequest) { r.Login = "Alice" },
		"password_salt":     func(r *bonafide.SignupRequest) { r.PasswordSalt = "0f" },
		"password_verifier": func(r *bonafide.SignupRequest) { r.PasswordVerifier = "12345678" },
		"suite":             func(r *bonafide.SignupRequest) { r.Suite = "rot13" },
		"kdf":               func(r *bonafide.SignupRequest) { r.KDF.M = 8 },
		"invite_code":       func(r *bonafide.SignupRequest) { r.InviteCode = strings.Repeat("a", 65) },
		"contact_email":     func(r *bonafide.SignupRequest) { r.ContactEmail = "a b" },
	} {
		r := good
		r.KDF = kdf()
		spoil(&r)
		_, err := bonafide.DecodeSignup(bonafide.FormType, r.Encode())
		fields, ok := errors.AsType[bonafide.FieldErrors](err)
		if !ok || len(fields[field]) == 0 || len(fields) != 1 || !errors.Is(err, problem.Invalid) {
			t.Errorf("bad %s: %v", field, err)
		}
	}
	for name, body := range map[string]string{
		"no kdf": "user[login]=alice&user[suite]=srp-3072&user[password_salt]=" + good.PasswordSalt + "&user[password_verifier]=" + verifier(),
		"kdf is no number": "user[login]=alice&user[suite]=srp-3072&user[password_salt]=" + good.PasswordSalt + "&user[password_verifier]=" + verifier() +
			"&user[kdf][name]=argon2id&user[kdf][t]=x&user[kdf][m]=65536&user[kdf][p]=1",
		"twice":     "user[login]=alice&user[login]=bob&user[password_salt]=ab&user[password_verifier]=12345678",
		"malformed": "user[login]=%zz",
		"empty":     "",
	} {
		if _, err := bonafide.DecodeSignup(bonafide.FormType, []byte(body)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBodies(t *testing.T) {
	for _, tt := range []struct{ media, body string }{
		{"", "login=a&A=1"},
		{"text/plain", "login=a&A=1"},
		{bonafide.FormType, "login=a&A=1&x=" + strings.Repeat("a", bonafide.MaxBody)},
		{"application/json", `{"login":"a","A":"1"} {}`},
		{"application/json", `["login"]`},
		{"application/json", `{"login[x]":"a","A":"1"}`},
		{"application/json", `{"login":["a"],"A":"1"}`},
		{bonafide.FormType, "login=alice"},
		{bonafide.FormType, "A=12"},
		{bonafide.FormType, "login=alice&A=xyz"},
		{bonafide.FormType, "login=alice&A=" + strings.Repeat("1", 769)},
		{bonafide.FormType, "login=" + strings.Repeat("a", 256) + "&A=1"},
	} {
		if r, err := bonafide.DecodeHandshake(tt.media, []byte(tt.body)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s %.40s: %+v, %v", tt.media, tt.body, r, err)
		}
	}
}

func TestLoginRequests(t *testing.T) {
	for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		want := bonafide.HandshakeRequest{Login: "alice", A: "12aF", Suite: s}
		got, err := bonafide.DecodeHandshake(bonafide.FormType, want.Encode())
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	if e := (bonafide.HandshakeRequest{Login: "a", A: "1", Suite: srp.LEAP1024}).Encode(); string(e) != "A=1&login=a" {
		t.Errorf("a classic server is told %s", e)
	}
	got, err := bonafide.DecodeAuth(bonafide.FormType, append(bonafide.AuthRequest{ClientAuth: "abc"}.Encode(), "&A=1&login=alice"...))
	if err != nil || got.ClientAuth != "abc" {
		t.Errorf("auth: %+v, %v", got, err)
	}
	for _, body := range []string{"", "client_auth=xyz", "client_auth=" + strings.Repeat("1", 65)} {
		if _, err := bonafide.DecodeAuth(bonafide.FormType, []byte(body)); !errors.Is(err, problem.Invalid) {
			t.Errorf("auth %q: %v", body, err)
		}
	}
}

func TestUpdateUser(t *testing.T) {
	key := "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc+/=\n-----END PGP PUBLIC KEY BLOCK-----\n"
	for name, want := range map[string]bonafide.UpdateUserRequest{
		"key":      {PublicKey: &key},
		"login":    {Login: new("alice2")},
		"no email": {ContactEmail: new("")},
		"password": {PasswordSalt: new(strings.Repeat("1f", 16)), PasswordVerifier: new(verifier()), Suite: ptr(srp.SRP3072), KDF: kdf()},
		"classic":  {PasswordSalt: new("1f"), PasswordVerifier: new("0123456789"), Suite: ptr(srp.LEAP1024)},
		"recovery": {RecoveryCodeSalt: new("1f"), RecoveryCodeVerifier: new("0123456789")},
	} {
		got, err := bonafide.DecodeUpdateUser(bonafide.FormType, want.Encode())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for name, body := range map[string]string{
		"base":                   "user[other]=1",
		"login":                  "user[login]=A",
		"password_verifier":      "user[password_salt]=ab",
		"password_salt":          "user[password_verifier]=12345678",
		"recovery_code_verifier": "user[recovery_code_salt]=ab",
		"public_key_block":       "user[public_key]=hello",
		"contact_email":          "user[contact_email]=" + url.QueryEscape("a\nb"),
	} {
		_, err := bonafide.DecodeUpdateUser(bonafide.FormType, []byte(body))
		if fields, ok := errors.AsType[bonafide.FieldErrors](err); !ok || len(fields[name]) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyring(t *testing.T) {
	got, err := bonafide.DecodeKeyring(jsonType, []byte(`{"type":"openpgp","value":"KEY","rev":"DHMOb7MjDKI="}`))
	if err != nil || got != (bonafide.KeyringRequest{Type: "openpgp", Value: "KEY", Rev: "DHMOb7MjDKI="}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := bonafide.DecodeKeyring(bonafide.FormType, []byte("type="+strings.Repeat("a", 65))); !errors.Is(err, problem.Invalid) {
		t.Errorf("long type: %v", err)
	}
}

// FuzzDecode: what any decoder accepts, it accepts again from its own
// encoding.
func FuzzDecode(f *testing.F) {
	f.Add(bonafide.FormType, []byte("user[login]=alice&user[password_salt]=abc&user[password_verifier]=0123456789"))
	f.Add(bonafide.FormType, []byte("login=alice&A=12"))
	f.Add(bonafide.FormType, []byte("client_auth=12"))
	f.Add("application/json", []byte(`{"user":{"kdf":{"name":"argon2id","t":3,"m":65536,"p":1},"contact_email":""},"type":"x"}`))
	f.Fuzz(func(t *testing.T, media string, body []byte) {
		if r, err := bonafide.DecodeSignup(media, body); err == nil {
			again, err := bonafide.DecodeSignup(bonafide.FormType, r.Encode())
			if diff := cmp.Diff(r, again); err != nil || diff != "" {
				t.Errorf("sign-up: %v\n%s", err, diff)
			}
		}
		if r, err := bonafide.DecodeUpdateUser(media, body); err == nil {
			again, err := bonafide.DecodeUpdateUser(bonafide.FormType, r.Encode())
			if diff := cmp.Diff(r, again); err != nil || diff != "" {
				t.Errorf("update: %v\n%s", err, diff)
			}
		}
		if r, err := bonafide.DecodeHandshake(media, body); err == nil {
			if again, err := bonafide.DecodeHandshake(bonafide.FormType, r.Encode()); err != nil || again != r {
				t.Errorf("handshake: %+v, %v", again, err)
			}
		}
		if r, err := bonafide.DecodeAuth(media, body); err == nil {
			if again, err := bonafide.DecodeAuth(bonafide.FormType, r.Encode()); err != nil || again != r {
				t.Errorf("auth: %+v, %v", again, err)
			}
		}
		if _, err := bonafide.DecodeKeyring(media, body); err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("key ring: %v", err)
		}
	})
}
