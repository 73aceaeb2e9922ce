package account

import (
	"context"

	"leap.example/client/session"
)

// Provider returns the provider of this device; problem.NotExist before
// AddProvider.
func (a *Account) Provider() (*session.Provider, error) { return a.load() }

// Token returns a token of the open account, for requests that are made beside
// it; a new one when the provider refused the one given. Unauthenticated: the
// account is locked.
func (a *Account) Token(ctx context.Context, refused string) (token string, err error) {
	err = a.use(ctx, func(ctx context.Context, u *unlocked) error {
		l, err := u.connect(ctx)
		if err != nil {
			return err
		}
		if refused != "" {
			if err := l.sess.Renew(ctx, refused); err != nil {
				return err
			}
		}
		token, err = l.sess.Token(ctx)
		return err
	})
	return token, err
}
