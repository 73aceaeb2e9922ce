package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Identities is what relay needs from the identities database.
type Identities interface {
	// ByAddress returns the identity of an address, or NotExist.
	ByAddress(ctx context.Context, addr nick.Address) (*record.Identity, error)
}

// Tokens is what relay needs from the tokens database.
type Tokens interface {
	// User returns the user id of a session token, or Unauthenticated.
	User(ctx context.Context, token string) (userID string, err error)
}

// A desk decides who somebody is and what is theirs. It knows no SMTP.
type desk struct {
	ids    Identities
	tokens Tokens
}

// byToken returns the user of a token whose name, an address or user id, is
// the user's. The error is errLogin or errLoginAway.
func (d desk) byToken(ctx context.Context, name, token string) (userID string, err error) {
	userID, err = d.tokens.User(ctx, token)
	if errors.Is(err, problem.Unauthenticated) || err == nil && userID == "" {
		return "", errLogin
	}
	if err != nil {
		return "", away(err)
	}
	if name == userID {
		return userID, nil
	}
	switch err := d.owns(ctx, userID, name); {
	case errors.Is(err, errNotYours):
		return "", errLogin
	case err != nil:
		return "", away(err)
	}
	return userID, nil
}

// byCertificate returns the user of a certificate, which TLS has verified: its
// address must remember it, and not as expired (leap-protocols.md 3.2, 6.1).
// The error is errLogin or errLoginAway.
func (d desk) byCertificate(ctx context.Context, cert *x509.Certificate, now time.Time) (userID string, err error) {
	address, ok := certs.AddressOf(cert)
	if !ok {
		return "", errLogin
	}
	id, err := d.ids.ByAddress(ctx, nick.Address(address))
	if errors.Is(err, problem.NotExist) {
		return "", errLogin
	}
	if err != nil {
		return "", away(err)
	}
	last, err := time.Parse(time.DateOnly, id.CertFingerprints[certs.Fingerprint1(cert.Raw)])
	if err != nil || !now.Before(last.AddDate(0, 0, 1)) || !id.Enabled || id.UserID == "" {
		return "", errLogin
	}
	return id.UserID, nil
}

// owns returns nil if address, with or without its suffix, is one of the
// user's that is enabled; errNotYours if not, or Unavailable.
func (d desk) owns(ctx context.Context, userID, address string) error {
	a, err := nick.ParseAddress(address)
	if err != nil {
		return errNotYours
	}
	id, err := d.ids.ByAddress(ctx, a)
	if errors.Is(err, problem.NotExist) && a.Base() != a {
		id, err = d.ids.ByAddress(ctx, a.Base())
	}
	if errors.Is(err, problem.NotExist) {
		return errNotYours
	}
	if err != nil {
		return problem.Unavailable.Errorf("identities: %w", err)
	}
	if id.UserID != userID || !id.Enabled {
		return errNotYours
	}
	return nil
}

func away(err error) error { return errors.Join(errLoginAway, err) }
