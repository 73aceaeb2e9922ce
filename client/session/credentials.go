package session

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// Credentials are what a password becomes for one account: enough to log in
// and to open the vault, without the password. They are never stored or sent.
type Credentials struct {
	Suite  srp.Suite
	KDF    srp.KDF // Of suite srp-3072.
	Salt   []byte
	Secret *srp.Secret
}

// derive stretches password; it takes a fraction of a second.
func derive(s srp.Suite, login, password string, salt []byte, k srp.KDF) (*Credentials, error) {
	if password == "" {
		return nil, problem.Invalid.Errorf("the password is empty")
	}
	secret, err := srp.Derive(s, strings.ToLower(login), password, salt, k)
	if err != nil {
		return nil, err
	}
	return &Credentials{Suite: s, KDF: k, Salt: salt, Secret: secret}, nil
}

// fresh derives password with a new salt and the default parameters.
func fresh(s srp.Suite, login, password string) (*Credentials, error) {
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		return nil, err
	}
	return derive(s, login, password, salt, srp.DefaultKDF())
}

// fit reports whether c was derived with these parameters.
func (c *Credentials) fit(s srp.Suite, salt []byte, k srp.KDF) bool {
	return c != nil && c.Suite == s && bytes.Equal(c.Salt, salt) && (s == srp.LEAP1024 || c.KDF == k)
}

// wire returns the members of sign-up and password change.
func (c *Credentials) wire() (salt, verifier string, k *srp.KDF) {
	if c.Suite == srp.SRP3072 {
		k = &c.KDF
	}
	return fmt.Sprintf("%x", c.Salt), c.Secret.Verifier(), k
}

// An Account names the account to sign up or to log in.
type Account struct {
	Login string
	// Known are credentials from the vault. They spare a derivation, and an
	// account that has used srp-3072 is never again logged in with leap-1024.
	Known *Credentials
	// UserID, if it is known, must be the one that the provider names.
	UserID string
	// Invite is the code for sign-up, where the provider asks for one.
	Invite string
	// Classic allows suite leap-1024: whoever steals the verifier from the
	// provider can then guess the password cheaply.
	Classic bool
}

// A DowngradeError says that the provider offers only leap-1024 for an
// account for which it is not allowed. Its kind is Permission.
type DowngradeError struct{ Pinned bool }

func (e *DowngradeError) Error() string {
	if e.Pinned {
		return "the provider asks for the weak login leap-1024, but this account has used srp-3072"
	}
	return "the provider knows only the weak login leap-1024 for this account"
}

// Unwrap returns the kind.
func (e *DowngradeError) Unwrap() error { return problem.Permission }
