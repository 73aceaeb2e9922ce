package account

import (
	"context"
	"errors"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// verify checks the password of the unlocked account, against the vault's file:
// the vault in memory belongs to who connects.
func (a *Account) verify(password string) (*unlocked, error) {
	u := a.unlocked()
	if u == nil {
		return nil, a.locked()
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if err != nil {
		return nil, vaultAdvice(err)
	}
	_, _, err = v.Unlock(password)
	return u, err
}

// ChangePassword implements control.Backend.
func (a *Account) ChangePassword(ctx context.Context, q control.PasswordChange) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	u, err := a.verify(q.Old)
	if err != nil {
		return err
	}
	return u.changePassword(ctx, q.New)
}

// changePassword keeps the link to itself: another login meanwhile would take
// the wraps of both passwords for leftovers, and settle on the old one.
func (u *unlocked) changePassword(ctx context.Context, password string) error {
	release, err := u.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if !u.vault.Settled() { // Which password the provider has, only a login tells.
		u.unlink(u.linked())
	}
	l, err := u.connected(ctx)
	if err != nil {
		return advice(err)
	}
	if err := l.sess.ChangePassword(ctx, password, u.vault, u.dek, rewrapper{l}); err != nil {
		if !u.vault.Settled() {
			return problem.Unavailable.Errorf(`%w: whether the provider has the new password is not known; both open this device: "leapc login" with the new one, and if the status is offline, with the old one`, err)
		}
		return err
	}
	u.setCredentials(l.sess.Credentials())
	return nil
}

// DeleteAccount implements control.Backend.
func (a *Account) DeleteAccount(ctx context.Context, q control.Credentials) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	u, err := a.verify(q.Password)
	if err != nil {
		return err
	}
	l, err := u.connect(ctx)
	if err != nil {
		return advice(err)
	}
	err = l.sess.DeleteAccount(ctx)
	if errors.Is(err, problem.Unavailable) {
		return problem.Unavailable.Errorf("%w: repeat it; if the login is refused then, the account is gone there, and what is left of it is the directory %s", err, a.cfg.Dir)
	}
	if err != nil && !errors.Is(err, problem.NotExist) {
		return advice(err)
	}
	return errors.Join(a.close(), a.wipe())
}
