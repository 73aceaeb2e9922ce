package account

import (
	"context"
	"errors"
	"fmt"
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
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	p, login, err := a.who(q.Login)
	if err != nil {
		return err
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if err == nil {
		return errOther(v.Owner().Login + "@" + v.Owner().Domain)
	}
	if !errors.Is(err, problem.NotExist) {
		return vaultAdvice(err)
	}
	if err := p.Refresh(ctx, session.Daily); err != nil {
		return err
	}
	id, cred, err := p.SignUp(ctx, session.Account{Login: login, Invite: q.Invite}, q.Password)
	if err != nil {
		return signUpAdvice(login, err)
	}
	sess, err := p.Login(ctx, session.Account{Login: login, Known: cred, UserID: id}, "")
	if err != nil {
		return halfWay(login, err)
	}
	return a.settle(ctx, p, sess)
}

// who returns the provider, and the login name in what the user typed, which
// may be the address.
func (a *Account) who(typed string) (p *session.Provider, login string, err error) {
	if p, err = a.load(); err != nil {
		return nil, "", err
	}
	login, domain, ok := strings.Cut(strings.ToLower(typed), "@")
	if ok && domain != p.Document().Domain {
		return nil, "", problem.Invalid.Errorf("the provider of this device is %s, not %s: use another --home for another one", p.Document().Domain, domain)
	}
	return p, login, nil
}

// Login implements control.Backend.
func (a *Account) Login(ctx context.Context, q control.Credentials) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	p, login, err := a.who(q.Login)
	if err != nil {
		return err
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if errors.Is(err, problem.NotExist) {
		if login == "" {
			return problem.Invalid.Errorf(`whose account? "leapc login NAME"`)
		}
		sess, err := p.Login(ctx, session.Account{Login: login}, q.Password)
		if err != nil {
			return err
		}
		return a.settle(ctx, p, sess)
	}
	if err != nil {
		return vaultAdvice(err)
	}
	if owner := v.Owner(); login != "" && login != owner.Login {
		return errOther(owner.Login + "@" + owner.Domain)
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
		return halfWay(owner.Login, err)
	}
	u := &unlocked{vault: v, dek: dek, cred: sess.Credentials(), sess: sess}
	if err := a.start(ctx, p, u); err != nil {
		return halfWay(owner.Login, err)
	}
	// Connected it has its keys; after an exchange the provider publishes them.
	if _, _, err = u.exchange(ctx); err != nil {
		return fmt.Errorf("the account is open on this device, and is finished as soon as the provider answers (leapc status): %w", err)
	}
	return nil
}

// unlock opens the vault with password. When it does not open, the password
// may have been changed on another device: the provider is asked, and the key
// ring, which opens with the new one, holds the key of this device's vault.
func (a *Account) unlock(ctx context.Context, p *session.Provider, v *session.Vault, password string) error {
	dek, cred, err := v.Unlock(password)
	if err == nil {
		if u := a.unlocked(); u != nil {
			u.adopt(cred)
			return nil
		}
		return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: cred})
	}
	if !errors.Is(err, problem.Unauthenticated) {
		return err
	}
	owner := v.Owner()
	sess, online := p.Login(ctx, session.Account{Login: owner.Login, UserID: owner.UserID}, password)
	switch {
	case errors.Is(online, problem.Unauthenticated):
		return err
	case errors.Is(online, problem.Unavailable), errors.Is(online, problem.Limit):
		return problem.Unauthenticated.Errorf("%w; if it was changed on another device, the provider must be asked for the new one: %w", err, online)
	case online != nil:
		return online
	}
	if dek, err = a.rescue(ctx, p, sess); err != nil {
		return err
	}
	if err := a.close(); err != nil { // It may rewrite the vault too.
		return err
	}
	if err := v.Rewrap(dek, sess.Credentials()); err != nil {
		return err
	}
	return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: sess.Credentials(), sess: sess})
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
