package account

import (
	"context"
	"errors"

	"leap.example/client/session"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// advice adds to an error of the connection what its user can do.
func advice(err error) error {
	_, wrong := errors.AsType[*provider.FingerprintError](err)
	switch {
	case errors.Is(err, errRefused):
		return problem.Unauthenticated.Errorf(`the provider refuses the login: if the password was changed on another device, "leapc login" with the new one`)
	case wrong:
		return problem.Permission.Errorf(`%w: if the provider has announced a new certificate authority, "leapc logout", then "leapc provider add" with its fingerprint`, err)
	case errors.Is(err, problem.Limit):
		return problem.Limit.Errorf("%w: delete what you do not need, large mails first, and empty the Trash; what does not fit waits on this device and at the provider", err)
	case errors.Is(err, soledad.ErrRollback):
		return problem.Stale.Errorf("%w: this device keeps all that it has; tell your provider, who may have restored an old copy", err)
	case errors.Is(err, soledad.ErrAccount):
		return problem.Permission.Errorf("%w: the provider has given the account another key ring; this device keeps all that it has", err)
	}
	return err
}

// signUpAdvice adds to an error of a sign-up what can be done about it.
func signUpAdvice(login string, err error) error {
	switch {
	case errors.Is(err, problem.Exist):
		return problem.Exist.Errorf(`the name %q is taken: choose another one; if it was you a moment ago, "leapc login %s"`, login, login)
	case errors.Is(err, problem.Unavailable):
		return problem.Unavailable.Errorf(`%w: repeat it; if the name is taken then, it was you: "leapc login %s"`, err, login)
	}
	return err
}

// halfWay says how to go on with an account that exists at the provider and
// does not work on this device yet.
func halfWay(login string, err error) error {
	return problem.KindOf(err).Errorf(`the account exists, but is not open on this device: %w; go on with "leapc login %s"`, err, login)
}

// vaultAdvice adds to an error of the vault's file how to go on without it.
func vaultAdvice(err error) error {
	if _, ok := errors.AsType[*session.VaultError](err); ok {
		return problem.Invalid.Errorf(`%w: restore it from a backup; or remove it and "leapc login NAME": what was not yet sent to the provider is lost then`, err)
	}
	return err
}

// warn logs an error of the connection. Its text may hold the login name and
// the user's id: it is shown at level debug only.
func (u *unlocked) warn(ctx context.Context, message string, err error, more ...any) {
	u.log.WarnContext(ctx, message, append([]any{"kind", problem.KindOf(err)}, more...)...)
	u.log.DebugContext(ctx, message, "err", err)
}
