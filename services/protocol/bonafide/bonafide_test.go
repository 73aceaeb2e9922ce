package bonafide_test

import (
	"encoding/json"
	"errors"
	"fmt"
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

func ptr[T any](v T) *T { return &v }

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
		"login":    {Login: ptr("alice2")},
		"no email": {ContactEmail: ptr("")},
		"password": {PasswordSalt: ptr(strings.Repeat("1f", 16)), PasswordVerifier: ptr(verifier()), Suite: ptr(srp.SRP3072), KDF: kdf()},
		"classic":  {PasswordSalt: ptr("1f"), PasswordVerifier: ptr("0123456789"), Suite: ptr(srp.LEAP1024)},
		"recovery": {RecoveryCodeSalt: ptr("1f"), RecoveryCodeVerifier: ptr("0123456789")},
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

func TestNames(t *testing.T) {
	for login, ok := range map[string]bool{
		"al": true, "alice": true, "a.l-i_c3": true, strings.Repeat("a", 64): true,
		"": false, "a": false, "Alice": false, "1al": false, "al.": false, "al-": false, "a b": false,
		"a..b": false, "äb": false, "al@b": false, ".al": false, strings.Repeat("a", 65): false,
	} {
		if err := bonafide.ValidLogin(login); (err == nil) != ok || err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("ValidLogin(%q) = %v", login, err)
		}
	}
	for login, want := range map[string]bool{"postmaster": true, "abuse": true, "help-tickets": true, "root": true, "alice": false, "": false} {
		if got := bonafide.Reserved(login); got != want {
			t.Errorf("Reserved(%q) = %v", login, got)
		}
	}
}

func TestTokenHeader(t *testing.T) {
	for header, want := range map[string]string{
		bonafide.TokenHeader("Ab-_9="): "Ab-_9=",
		`Token token=Ab9`:              "Ab9",
		`token TOKEN="x"`:              "x",
		`Token token=""`:               "",
		`Token token="x`:               "",
		`Token token=x"`:               "",
		`Token token=a,b`:              "",
		`Token token=a b`:              "",
		`Bearer x`:                     "",
		``:                             "",
		`Token token="` + strings.Repeat("a", 512) + `"`: "",
	} {
		got, ok := bonafide.ParseTokenHeader(header)
		if ok != (want != "") || ok && got != want {
			t.Errorf("ParseTokenHeader(%.40q) = %q, %v; want %q", header, got, ok, want)
		}
	}
}

// TestErrorsCrossTheWire: what the server means is what the client reads.
func TestErrorsCrossTheWire(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		body   string
		kind   problem.Kind
	}{
		{bonafide.WrongPassword(), 422, `{"errors":{"base":"Not a valid username/password combination"}}`, problem.Unauthenticated},
		{fmt.Errorf("login: %w", bonafide.FieldErrors{"login": {bonafide.Taken}}), 422, `{"errors":{"login":["has already been taken"]}}`, problem.Exist},
		{bonafide.FieldErrors{"a": {"x", "y"}}, 422, `{"errors":{"a":["x","y"]}}`, problem.Invalid},
		{problem.Invalid.Errorf("no"), 422, `{"errors":{"base":["no"]}}`, problem.Invalid},
		{problem.Unauthenticated.Errorf("x"), 401, `{"error":"not_authorized_login","message":"Please log in to perform that action."}`, problem.Unauthenticated},
		{problem.Permission, 403, `{"error":"not_authorized","message":"Sorry, but you are not authorized to perform that action."}`, problem.Permission},
		{problem.NotExist.Errorf("no such user"), 404, `{"error":"not_found","message":"no such user"}`, problem.NotExist},
		{problem.Limit.Errorf("slow down"), 429, `{"error":"limit","message":"slow down"}`, problem.Limit},
		{problem.Unavailable, 503, `{"error":"unavailable","message":"Please try again later."}`, problem.Unavailable},
		{errors.New("disk"), 500, `{"error":"The server failed to process your request. (Internal)"}`, problem.Internal},
	} {
		status, body := bonafide.ErrorOf(tt.err)
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status != tt.status || string(data) != tt.body {
			t.Errorf("%v: got %d %s\nwant %d %s", tt.err, status, data, tt.status, tt.body)
		}
		if got := bonafide.ParseError(status, data); problem.KindOf(got) != tt.kind {
			t.Errorf("%v: client reads %v, want %v", tt.err, got, tt.kind)
		}
	}
	if l, ok := errors.AsType[*bonafide.LoginError](bonafide.ParseError(422, []byte(`{"errors":{"login":"Could not"}}`))); !ok || l.Field != "login" {
		t.Errorf("login error: %v", l)
	}
	for _, tt := range []struct {
		status int
		body   string
		want   problem.Kind
	}{
		{403, "", problem.Permission},
		{422, `{"errors":{}}`, problem.Invalid},
		{422, `{"errors":{"x":7}}`, problem.Invalid},
		{502, "<html>", problem.Unavailable},
		{409, `{"type":"stale","detail":"read again"}`, problem.Stale},
		{422, `{"error":"wrong revision: R"}`, problem.Invalid},
	} {
		if got := problem.KindOf(bonafide.ParseError(tt.status, []byte(tt.body))); got != tt.want {
			t.Errorf("%d %s: %v, want %v", tt.status, tt.body, got, tt.want)
		}
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

// FuzzParseError: every answer becomes an error with a kind.
func FuzzParseError(f *testing.F) {
	f.Add(422, []byte(`{"errors":{"login":["has already been taken"]}}`))
	f.Add(500, []byte(`{}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if err := bonafide.ParseError(status, body); err == nil || problem.KindOf(err) == "" {
			t.Errorf("%d %s: %v", status, body, err)
		}
	})
}

// FuzzParseTokenHeader: an accepted token survives.
func FuzzParseTokenHeader(f *testing.F) {
	f.Add(`Token token="x"`)
	f.Add(`Token token=x`)
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := bonafide.ParseTokenHeader(header)
		if !ok {
			return
		}
		if again, ok := bonafide.ParseTokenHeader(bonafide.TokenHeader(token)); len(token) < 400 && (!ok || again != token) {
			t.Errorf("%q becomes %q", token, again)
		}
	})
}
