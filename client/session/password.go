package session

import (
	"context"
	"errors"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// A Keyring stores the account's key ring so that each of the wrap keys opens
// it and no other does. The provider has it durably when the call returns nil.
type Keyring interface {
	Rewrap(ctx context.Context, wraps ...[32]byte) error
}

// ChangePassword replaces the password; the suite becomes srp-3072, whatever
// it was. The order survives a crash at any point, because key ring and vault
// open with both passwords while it is unknown which one the provider has
// (client.md 4.4):
//
//	vault and key ring with both wraps -> verifier at the provider -> Settle
//
// dek is the vault's. When the provider refuses, all is as before; when its
// answer is lost (Unavailable), both passwords open vault and key ring until
// the next login with the right one, which is to call Settle.
func (s *Session) ChangePassword(ctx context.Context, password string, v *Vault, dek [32]byte, k Keyring) error {
	old := s.Credentials()
	next, err := fresh(srp.SRP3072, s.login, password)
	if err != nil {
		return err
	}
	if err := v.Rewrap(dek, old, next); err != nil {
		return err
	}
	if err := k.Rewrap(ctx, old.Secret.WrapKey(), next.Secret.WrapKey()); err != nil {
		return err
	}
	salt, verifier, kdf := next.wire()
	err = s.update(ctx, bonafide.UpdateUserRequest{PasswordSalt: &salt, PasswordVerifier: &verifier, Suite: &next.Suite, KDF: kdf})
	switch {
	case err == nil:
		s.mu.Lock()
		s.cred, s.smtp = next, smtpCert{} // The provider has forgotten the old certificate.
		s.mu.Unlock()
		return s.Settle(ctx, v, dek, k)
	case refused(err):
		return errors.Join(err, s.Settle(ctx, v, dek, k))
	}
	return err
}

// refused reports whether the provider certainly did not do what was asked.
func refused(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.Exist, problem.Unauthenticated, problem.Permission, problem.NotExist, problem.Limit:
		return true
	}
	return false
}

// Settle makes the password of this session the only one that opens key ring
// and vault. It is called after a login when v.Settled is false.
func (s *Session) Settle(ctx context.Context, v *Vault, dek [32]byte, k Keyring) error {
	cred := s.Credentials()
	if err := k.Rewrap(ctx, cred.Secret.WrapKey()); err != nil {
		return err
	}
	return v.Rewrap(dek, cred)
}
