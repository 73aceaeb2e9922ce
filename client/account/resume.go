package account

import (
	"context"

	"leap.example/client/session"
)

// Kept returns what Resume takes, after Run: with it the process that takes the place of
// this one opens the account as it was. Nil if it was locked. It is as secret as the
// password: it goes to that process and nowhere else.
func (a *Account) Kept() []byte {
	a.doing <- struct{}{}
	defer func() { <-a.doing }()
	if a.left == nil {
		return nil
	}
	return a.left.Secret.Keep()
}

// Resume opens the account with what Kept returned in the process before this one, before
// Run. The provider is not asked. Unauthenticated: the password is another one by now.
func (a *Account) Resume(ctx context.Context, kept []byte) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	p, err := a.load()
	if err != nil {
		return err
	}
	v, err := session.OpenVault(a.path("vault.json"))
	if err != nil {
		return vaultAdvice(err)
	}
	dek, cred, err := v.Reopen(kept)
	if err != nil {
		return err
	}
	return a.start(ctx, p, &unlocked{vault: v, dek: dek, cred: cred})
}
