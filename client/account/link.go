package account

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"leap.example/client/session"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// A link is the connection of an unlocked account to its provider.
type link struct {
	sess   *session.Session
	remote *soledad.Remote
	ring   *soledad.Keyring
}

// remoteOf returns the user's soledad, as the service definition names it.
func remoteOf(ctx context.Context, p *session.Provider, sess *session.Session) (*soledad.Remote, error) {
	h, err := sess.Hosts(ctx, "soledad", session.Daily)
	if err != nil {
		return nil, fmt.Errorf("finding the sync server: %w", err)
	}
	for _, host := range h.Hosts {
		base := "https://" + net.JoinHostPort(host.Hostname, fmt.Sprint(host.Port))
		return soledad.NewRemote(p.HTTP(), base, sess.UserID(), sess.Token), nil
	}
	return nil, problem.NotExist.Errorf("the provider has no sync server")
}

// connect returns the link, making it if there is none: a login, the key ring,
// the account's own key on this device and at the provider. It is safe to call
// from several goroutines; one of them works.
func (u *unlocked) connect(ctx context.Context) (*link, error) {
	select {
	case u.connecting <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-u.connecting }()
	if l := u.linked(); l != nil {
		return l, nil
	}
	l, err := u.dial(ctx)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	u.link = l
	u.mu.Unlock()
	return l, nil
}

// patience bounds the making of a link, in which an account may be finished.
const patience = 2 * time.Minute

func (u *unlocked) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := &link{sess: u.sess}
	if u.sess = nil; l.sess == nil {
		if err := u.provider.Refresh(ctx, session.Daily); err != nil {
			return nil, err
		}
		owner := u.vault.Owner()
		var err error
		l.sess, err = u.provider.Login(ctx, session.Account{Login: owner.Login, Known: u.credentials(), UserID: owner.UserID}, "")
		if err != nil {
			return nil, err
		}
	}
	var err error
	if l.remote, err = remoteOf(ctx, u.provider, l.sess); err != nil {
		return nil, err
	}
	if l.ring, err = ring(ctx, l.remote, l.sess.Credentials()); err != nil {
		return nil, err
	}
	if err := u.saveRescue(l.ring); err != nil {
		return nil, err
	}
	if !u.vault.Settled() {
		if err := l.sess.Settle(ctx, u.vault, u.dek, rewrapper{l}); err != nil {
			return nil, err
		}
	}
	return l, u.ownKey(ctx, l)
}

// ownKey sees to it that the account has a key, that it is in the store of all
// devices, and that the provider publishes it.
func (u *unlocked) ownKey(ctx context.Context, l *link) error {
	if _, err := u.store.Sync(ctx, l.remote, l.ring); err != nil {
		return err
	}
	own, err := u.keys.Own(ctx)
	if errors.Is(err, problem.NotExist) {
		if own, err = u.keys.Create(ctx); err != nil {
			return err
		}
		if _, err := u.store.Sync(ctx, l.remote, l.ring); err != nil {
			return err
		}
		// Of two devices that made a key at once the merge has chosen one.
		own, err = u.keys.Own(ctx)
	}
	if err != nil {
		return err
	}
	published, err := u.note(ctx, "published")
	if err != nil || published == own.Public() {
		return err
	}
	if err := l.sess.PublishKey(ctx, own.Public()); err != nil {
		return err
	}
	return u.setNote(ctx, "published", own.Public())
}

// linked returns the link, nil while there is none.
func (u *unlocked) linked() *link {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.link
}

// unlink drops l after it failed for good: the next connect logs in again.
func (u *unlocked) unlink(l *link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.link == l {
		u.link = nil
	}
}

func (u *unlocked) credentials() *session.Credentials {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cred
}

func (u *unlocked) setCredentials(c *session.Credentials) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cred = c
}

// bucket holds the notes of this package: of the device, never synced.
const bucket = "account"

// note returns a note, "" if there is none.
func (u *unlocked) note(ctx context.Context, key string) (value string, err error) {
	err = u.store.View(ctx, func(tx *soledad.Tx) error {
		v, err := tx.LocalGet(bucket, key)
		if errors.Is(err, problem.NotExist) {
			return nil
		}
		value = string(v)
		return err
	})
	return value, err
}

func (u *unlocked) setNote(ctx context.Context, key, value string) error {
	return u.store.Update(ctx, func(tx *soledad.Tx) error { return tx.LocalPut(bucket, key, []byte(value)) })
}
