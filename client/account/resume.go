package account

import (
	"context"

	"leap.example/client/session"
)

// Kept returns what [Config.Kept] takes, after Run: with it the process that takes the
// place of this one opens the account as it was. Nil if it was locked. It is as secret
// as the password: it goes to that process and nowhere else.
func (a *Account) Kept() []byte {
	a.doing <- struct{}{}
	defer func() { <-a.doing }()
	return a.kept
}

// resume opens the account with what the process before this one kept. A login that
// came first is as good.
func (a *Account) resume(ctx context.Context) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if a.unlocked() != nil {
		return nil
	}
	p, err := a.load()
	if err != nil {
		return err
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if err != nil {
		return vaultAdvice(err)
	}
	dek, cred, err := v.Reopen(a.cfg.Kept)
	if err != nil {
		return err
	}
	return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: cred})
}
