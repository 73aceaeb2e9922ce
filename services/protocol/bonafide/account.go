package bonafide

import (
	"strconv"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/srp"
)

// A SignupRequest is POST /1/users.
type SignupRequest struct {
	Login            string
	PasswordSalt     string // Hex.
	PasswordVerifier string // Hex.
	Suite            srp.Suite
	KDF              *srp.KDF // Of suite srp-3072.
	InviteCode       string
	ContactEmail     string
}

// A SignupResponse is the answer to it (201), and to GET /1/users/:id.
type SignupResponse struct {
	Login   string `json:"login"`
	OK      bool   `json:"ok"`
	ID      string `json:"id"` // 32 hex digits.
	Enabled bool   `json:"enabled"`
	IsAdmin bool   `json:"is_admin,omitempty"`
}

// An UpdateUserRequest is PUT /1/users/:id. What is nil stays as it is. A new
// verifier comes with its salt, suite and, for srp-3072, KDF.
type UpdateUserRequest struct {
	Login                *string
	PasswordSalt         *string
	PasswordVerifier     *string
	Suite                *srp.Suite // Set whenever PasswordVerifier is.
	KDF                  *srp.KDF
	RecoveryCodeSalt     *string
	RecoveryCodeVerifier *string
	PublicKey            *string // Armored; not parsed here.
	ContactEmail         *string // "" removes it.
}

// DecodeSignup reads a SignupRequest. A member that breaks its rule gives
// FieldErrors.
func DecodeSignup(contentType string, body []byte) (SignupRequest, error) {
	f, err := decode(contentType, body)
	if err != nil {
		return SignupRequest{}, err
	}
	errs := FieldErrors{}
	r := SignupRequest{
		Login:            f["user[login]"],
		PasswordSalt:     f["user[password_salt]"],
		PasswordVerifier: f["user[password_verifier]"],
		Suite:            f.suite("user[suite]"),
		KDF:              f.kdf(errs),
		InviteCode:       f["user[invite_code]"],
		ContactEmail:     f["user[contact_email]"],
	}
	errs.login(r.Login)
	errs.verifier("password", r.PasswordSalt, r.PasswordVerifier, r.Suite, r.KDF)
	errs.email(r.ContactEmail)
	if len(r.InviteCode) > 64 {
		errs.add("invite_code", "This is not a valid code")
	}
	return r, errs.orNil()
}

// Encode returns r as a form.
func (r SignupRequest) Encode() []byte {
	f := fields{}
	f.set("user[login]", r.Login)
	f.set("user[password_salt]", r.PasswordSalt)
	f.set("user[password_verifier]", r.PasswordVerifier)
	f.set("user[suite]", string(r.Suite))
	f.setKDF(r.KDF)
	f.set("user[invite_code]", r.InviteCode)
	f.set("user[contact_email]", r.ContactEmail)
	return f.encode()
}

// DecodeUpdateUser reads an UpdateUserRequest. A member that breaks its rule
// gives FieldErrors, and so does a request without any member.
func DecodeUpdateUser(contentType string, body []byte) (UpdateUserRequest, error) {
	f, err := decode(contentType, body)
	if err != nil {
		return UpdateUserRequest{}, err
	}
	errs := FieldErrors{}
	r := UpdateUserRequest{
		Login:                f.optional("user[login]"),
		PasswordSalt:         f.optional("user[password_salt]"),
		PasswordVerifier:     f.optional("user[password_verifier]"),
		KDF:                  f.kdf(errs),
		RecoveryCodeSalt:     f.optional("user[recovery_code_salt]"),
		RecoveryCodeVerifier: f.optional("user[recovery_code_verifier]"),
		PublicKey:            f.optional("user[public_key]"),
		ContactEmail:         f.optional("user[contact_email]"),
	}
	if r == (UpdateUserRequest{}) {
		errs.add("base", "nothing to change")
	}
	if r.Login != nil {
		errs.login(*r.Login)
	}
	if r.PasswordSalt != nil || r.PasswordVerifier != nil {
		s := f.suite("user[suite]")
		r.Suite = &s
		errs.verifier("password", value(r.PasswordSalt), value(r.PasswordVerifier), s, r.KDF)
	}
	if r.RecoveryCodeSalt != nil || r.RecoveryCodeVerifier != nil {
		errs.verifier("recovery_code", value(r.RecoveryCodeSalt), value(r.RecoveryCodeVerifier), srp.LEAP1024, nil)
	}
	if r.PublicKey != nil && (len(*r.PublicKey) > nick.MaxKey || !strings.Contains(*r.PublicKey, "BEGIN PGP PUBLIC KEY BLOCK")) {
		errs.add("public_key_block", "does not look like an armored pgp public key block")
	}
	errs.email(value(r.ContactEmail))
	return r, errs.orNil()
}

// Encode returns r as a form.
func (r UpdateUserRequest) Encode() []byte {
	f := fields{}
	f.setOptional("user[login]", r.Login)
	f.setOptional("user[password_salt]", r.PasswordSalt)
	f.setOptional("user[password_verifier]", r.PasswordVerifier)
	if r.Suite != nil {
		f.set("user[suite]", string(*r.Suite))
	}
	f.setKDF(r.KDF)
	f.setOptional("user[recovery_code_salt]", r.RecoveryCodeSalt)
	f.setOptional("user[recovery_code_verifier]", r.RecoveryCodeVerifier)
	f.setOptional("user[public_key]", r.PublicKey)
	f.setOptional("user[contact_email]", r.ContactEmail)
	return f.encode()
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// suite returns the suite named, or that of a classic client.
func (f fields) suite(name string) srp.Suite {
	if s := f[name]; s != "" {
		return srp.Suite(s)
	}
	return srp.LEAP1024
}

// kdf reads user[kdf][…]; nil when there is none.
func (f fields) kdf(errs FieldErrors) *srp.KDF {
	name, ok := f["user[kdf][name]"]
	if !ok {
		return nil
	}
	t, err1 := strconv.ParseUint(f["user[kdf][t]"], 10, 32)
	m, err2 := strconv.ParseUint(f["user[kdf][m]"], 10, 32)
	p, err3 := strconv.ParseUint(f["user[kdf][p]"], 10, 8)
	if err1 != nil || err2 != nil || err3 != nil {
		errs.add("kdf", "is not a valid key derivation")
		return nil
	}
	return &srp.KDF{Name: name, T: uint32(t), M: uint32(m), P: uint8(p)}
}

func (f fields) setKDF(k *srp.KDF) {
	if k == nil {
		return
	}
	f["user[kdf][name]"] = k.Name
	f["user[kdf][t]"] = strconv.FormatUint(uint64(k.T), 10)
	f["user[kdf][m]"] = strconv.FormatUint(uint64(k.M), 10)
	f["user[kdf][p]"] = strconv.FormatUint(uint64(k.P), 10)
}
