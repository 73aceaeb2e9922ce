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

// remoteOf returns the user's soledad, at the servers that the service definition
// names, in any order: devices are spread over them.
func remoteOf(ctx context.Context, p *session.Provider, sess *session.Session) (*soledad.Remote, error) {
	h, err := sess.Hosts(ctx, "soledad", session.Daily)
	if err != nil {
		return nil, fmt.Errorf("finding the sync server: %w", err)
	}
	var bases []string
	for _, host := range h.Hosts {
		bases = append(bases, "https://"+net.JoinHostPort(host.Hostname, fmt.Sprint(host.Port)))
	}
	if len(bases) == 0 {
		return nil, problem.NotExist.Errorf("the provider has no sync server")
	}
	return soledad.NewRemote(p.HTTP(), bases, sess.UserID(), sess.Token), nil
}

// hold makes the caller the only one who makes links, until it calls release.
func (u *unlocked) hold(ctx context.Context) (release func(), err error) {
	select {
	case u.connecting <- struct{}{}:
		return func() { <-u.connecting }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect returns the link, making it if there is none: a login, the key ring,
// the account's own key. It is safe to call from several goroutines; one of
// them works.
func (u *unlocked) connect(ctx context.Context) (*link, error) {
	release, err := u.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return u.connected(ctx)
}

// errRefused is in the chain of a login that the provider refused.
var errRefused = errors.New("the provider refuses the login")

// refusedFor is how long a login that the provider refused is not tried again
// with the same credentials. Every try counts there as a guess, and too many
// shut the user out on other devices.
const refusedFor = 15 * time.Minute

// connected is connect for the holder.
func (u *unlocked) connected(ctx context.Context) (*link, error) {
	u.mu.Lock()
	l, cred, refusal := u.link, u.cred, u.refusal
	u.mu.Unlock()
	if l != nil {
		return l, nil
	}
	if refusal.cred == cred && time.Since(refusal.at) < refusedFor {
		return nil, fmt.Errorf("%w: %w", errRefused, problem.Unauthenticated)
	}
	sess := u.sess
	if sess == nil {
		var err error
		if sess, err = u.login(ctx, cred); err != nil {
			return nil, err
		}
	}
	u.sess = sess
	l, err := u.furnish(ctx, sess)
	if err == nil || errors.Is(err, problem.Unauthenticated) {
		u.sess = nil // It is the link's now; or over.
	}
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.link = l
	return l, nil
}

func (u *unlocked) login(ctx context.Context, cred *session.Credentials) (*session.Session, error) {
	if err := u.provider.Refresh(ctx, session.Daily); err != nil {
		return nil, err
	}
	owner := u.vault.Owner()
	sess, err := u.provider.Login(ctx, session.Account{Login: owner.Login, Known: cred, UserID: owner.UserID}, "")
	if errors.Is(err, problem.Unauthenticated) {
		return nil, u.refused(cred, err)
	}
	return sess, err
}

// refused notes that the provider refused a login with cred.
func (u *unlocked) refused(cred *session.Credentials, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refusal = refusal{cred, time.Now()}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// furnish makes the link of a session. What the account lacks is made.
func (u *unlocked) furnish(ctx context.Context, sess *session.Session) (*link, error) {
	l := &link{sess: sess}
	var err error
	if l.remote, err = remoteOf(ctx, u.provider, sess); err != nil {
		return nil, err
	}
	if l.ring, err = u.ring(ctx, l.remote, sess.Credentials()); err != nil {
		return nil, err
	}
	if err := u.saveRescue(l.ring); err != nil {
		return nil, err
	}
	if !u.vault.Settled() {
		if err := sess.Settle(ctx, u.vault, u.dek, rewrapper{l}); err != nil {
			return nil, err
		}
	}
	return l, u.ownKey(ctx, l)
}

// ownKey sees to it that the account has a key in the store of all devices.
func (u *unlocked) ownKey(ctx context.Context, l *link) error {
	// A key that another device made must be here before one is made.
	if _, err := u.store.Sync(ctx, l.remote, l.ring); err != nil {
		return err
	}
	if _, err := u.keys.Own(ctx); !errors.Is(err, problem.NotExist) {
		return err
	}
	if _, err := u.keys.Create(ctx); err != nil {
		return err
	}
	_, err := u.store.Sync(ctx, l.remote, l.ring)
	return err
}

// publish sees to it that the provider answers with the account's key. Which
// one that is can change with every exchange: of two devices that made one at
// once the merge has chosen, and a key is extended before it expires.
func (u *unlocked) publish(ctx context.Context, l *link) error {
	own, err := u.keys.Own(ctx)
	if err != nil {
		return err
	}
	published, err := u.note(ctx, "published")
	if err != nil || published == own.Public() {
		return err
	}
	if err := l.sess.PublishKey(ctx, own.Public()); err != nil {
		return fmt.Errorf("publishing the key: %w", err)
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

// A refusal is when the provider refused which credentials.
type refusal struct {
	cred *session.Credentials
	at   time.Time
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

// adopt takes credentials that have opened the vault just now: after a change
// of password that was interrupted these may be the ones that the provider
// takes.
func (u *unlocked) adopt(c *session.Credentials) {
	u.setCredentials(c)
	u.wake()
}
