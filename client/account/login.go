package account

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// SignUp implements control.Backend: it makes the account at the provider and
// then logs in, which makes everything else.
func (a *Account) SignUp(ctx context.Context, q control.Credentials) error {
	a.doing.Lock()
	defer a.doing.Unlock()
	p, err := a.load()
	if err != nil {
		return err
	}
	if a.hasVault() {
		return problem.Exist.Errorf("this device has an account already: use another --home for another one")
	}
	if err := p.Refresh(ctx, session.Daily); err != nil {
		return err
	}
	id, cred, err := p.SignUp(ctx, session.Account{Login: q.Login, Invite: q.Invite}, q.Password)
	if err != nil {
		return err
	}
	sess, err := p.Login(ctx, session.Account{Login: q.Login, Known: cred, UserID: id}, "")
	if err != nil {
		return err
	}
	return a.settle(ctx, p, sess)
}

// Login implements control.Backend.
func (a *Account) Login(ctx context.Context, q control.Credentials) error {
	a.doing.Lock()
	defer a.doing.Unlock()
	p, err := a.load()
	if err != nil {
		return err
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if errors.Is(err, problem.NotExist) {
		if q.Login == "" {
			return problem.Invalid.Errorf(`whose account? "leapc login NAME"`)
		}
		sess, err := p.Login(ctx, session.Account{Login: q.Login}, q.Password)
		if err != nil {
			return err
		}
		return a.settle(ctx, p, sess)
	}
	if err != nil {
		return err
	}
	if login := strings.ToLower(q.Login); login != "" && login != v.Owner().Login {
		return problem.Exist.Errorf("this device has the account of %s: use another --home for another one", v.Owner().Login)
	}
	return a.unlock(ctx, p, v, q.Password)
}

// settle makes the vault and the store of an account that is new on this
// device, and connects: a first login ends when the device is usable.
func (a *Account) settle(ctx context.Context, p *session.Provider, sess *session.Session) error {
	if err := a.wipe(); err != nil { // A store without a vault is of no use.
		return err
	}
	address := sess.Address()
	owner := session.VaultOwner{Login: address.Local(), Domain: address.Domain(), UserID: sess.UserID()}
	v, dek, err := session.CreateVault(a.path("vault.json"), owner, sess.Credentials())
	if err != nil {
		return err
	}
	return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: sess.Credentials(), sess: sess}, true)
}

// unlock opens the vault with password. When it does not open, the password
// may have been changed on another device: the provider is asked, and the key
// ring, which opens with the new one, holds the key of this device's vault.
func (a *Account) unlock(ctx context.Context, p *session.Provider, v *session.Vault, password string) error {
	dek, cred, err := v.Unlock(password)
	if err == nil {
		if u := a.unlocked(); u != nil {
			return nil
		}
		return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: cred}, false)
	}
	if !errors.Is(err, problem.Unauthenticated) {
		return err
	}
	owner := v.Owner()
	sess, online := p.Login(ctx, session.Account{Login: owner.Login, UserID: owner.UserID}, password)
	if online != nil {
		if errors.Is(online, problem.Unauthenticated) || errors.Is(online, problem.Unavailable) {
			return err
		}
		return online
	}
	if dek, err = a.rescue(ctx, p, sess); err != nil {
		return err
	}
	if err := v.Rewrap(dek, sess.Credentials()); err != nil {
		return err
	}
	if err := a.close(); err != nil {
		return err
	}
	return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: sess.Credentials(), sess: sess}, false)
}

// ChangePassword implements control.Backend.
func (a *Account) ChangePassword(ctx context.Context, q control.PasswordChange) error {
	a.doing.Lock()
	defer a.doing.Unlock()
	u, err := a.need()
	if err != nil {
		return err
	}
	if _, _, err := u.vault.Unlock(q.Old); err != nil {
		return err
	}
	l, err := u.connect(ctx)
	if err != nil {
		return err
	}
	if err := l.sess.ChangePassword(ctx, q.New, u.vault, u.dek, rewrapper{l}); err != nil {
		return err
	}
	u.setCredentials(l.sess.Credentials())
	return nil
}

// DeleteAccount implements control.Backend.
func (a *Account) DeleteAccount(ctx context.Context, q control.Credentials) error {
	a.doing.Lock()
	defer a.doing.Unlock()
	u, err := a.need()
	if err != nil {
		return err
	}
	if _, _, err := u.vault.Unlock(q.Password); err != nil {
		return err
	}
	l, err := u.connect(ctx)
	if err != nil {
		return err
	}
	if err := l.sess.DeleteAccount(ctx); err != nil {
		return err
	}
	return errors.Join(a.close(), a.wipe())
}

// wipe removes everything of the account from this device; the provider stays.
func (a *Account) wipe() error {
	var all error
	for _, name := range []string{"vault.json", ringFile, "device.json", "store.db", "store.db-wal", "store.db-shm", "store.db-journal"} {
		if err := os.Remove(a.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}
