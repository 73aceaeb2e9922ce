package account

import (
	"cmp"
	"context"
	"errors"
	"time"

	"leap.example/client/session"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

const (
	minPause = 500 * time.Millisecond // After a failure; doubles.
	maxPause = time.Minute
	poll     = 55 * time.Second // Of one long-poll.
	breath   = 50 * time.Millisecond
)

// run keeps the account in step with the provider until ctx is done: exchange,
// then wait until something changes here or there.
func (u *unlocked) run(ctx context.Context) error {
	changed, cancel := u.store.Subscribe()
	defer cancel()
	pause := minPause
	for ctx.Err() == nil {
		generation, incoming, err := u.exchange(ctx)
		if err == nil {
			err = u.wait(ctx, changed, generation, incoming)
		}
		if err == nil {
			pause = minPause
			continue
		}
		if ctx.Err() != nil {
			break
		}
		u.warn(ctx, "not in step with the provider", err, "retry_in", pause)
		u.rest(ctx, changed, pause)
		pause = min(2*pause, maxPause)
	}
	return nil
}

// rest waits for pause, or until the user asks.
func (u *unlocked) rest(ctx context.Context, changed <-chan struct{}, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-u.kick:
	case <-time.After(pause):
	}
	drain(changed) // Changes made meanwhile go out with the next exchange.
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// wait returns nil when something may have changed here or at the provider, and
// an error when the provider does not tell.
func (u *unlocked) wait(ctx context.Context, changed <-chan struct{}, generation, incoming int) error {
	l := u.linked()
	if l == nil {
		return nil // The next exchange makes one.
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := make(chan error, 1)
	go func() {
		_, _, err := l.remote.Notify(ctx, generation, incoming, poll)
		told <- err
	}()
	select {
	case err := <-told:
		if errors.Is(err, problem.Unauthenticated) {
			return nil // The next exchange renews the token.
		}
		return err
	case <-ctx.Done():
	case <-u.kick:
	case <-changed:
		// What a mail program does comes in bursts: one exchange for each.
		select {
		case <-ctx.Done():
		case <-time.After(breath):
		}
		drain(changed)
	}
	cancel()
	<-told
	return nil
}

// wake makes the loop go round now.
func (u *unlocked) wake() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// exchange synchronises and drains the incoming queue, once. It returns where
// the provider stands, and remembers how it went.
func (u *unlocked) exchange(ctx context.Context) (generation, incoming int, err error) {
	var res soledad.Result
	res, incoming, _, err = u.exchangeOnce(ctx)
	return res.Generation, incoming, err
}

func (u *unlocked) exchangeOnce(ctx context.Context) (res soledad.Result, incoming, mails int, err error) {
	select {
	case u.exchanging <- struct{}{}:
	case <-ctx.Done():
		return res, 0, 0, ctx.Err()
	}
	defer func() { <-u.exchanging }()
	res, incoming, mails, err = u.tryExchange(ctx)
	if err != nil && ctx.Err() != nil {
		return res, incoming, mails, err // Whoever asked has gone: it says nothing of the provider.
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.report.err = err; err == nil {
		u.report.at, u.report.incoming = time.Now(), incoming
	}
	return res, incoming, mails, err
}

func (u *unlocked) tryExchange(ctx context.Context) (res soledad.Result, incoming, mails int, err error) {
	l, err := u.connect(ctx)
	if err != nil {
		return res, 0, 0, err
	}
	err = u.renewing(ctx, l, func() error {
		box := synced{u, l, &res}
		full := box.Sync(ctx)
		if full != nil && !errors.Is(full, problem.Limit) {
			return full
		}
		// With a quota that is used up mail is still fetched: what does not fit stays in the queue.
		n, left, err := u.receiver.Drain(ctx, l.remote, box)
		mails, incoming = mails+n, left
		return cmp.Or(err, full)
	})
	if err == nil {
		err = u.publish(ctx, l)
	}
	if err == nil && u.away() { // There is a network again: what waits in the outbox may go.
		err = u.smtp.Online(ctx)
	}
	return res, incoming, mails, err
}

// renewing runs f, and once more after a new login if the token has expired.
func (u *unlocked) renewing(ctx context.Context, l *link, f func() error) error {
	token, err := l.sess.Token(ctx)
	if err != nil {
		return err
	}
	if err = f(); !errors.Is(err, problem.Unauthenticated) {
		return err
	}
	cred := l.sess.Credentials()
	err = l.sess.Renew(ctx, token)
	if errors.Is(err, problem.Unauthenticated) {
		u.unlink(l)
		return u.refused(cred, err)
	}
	if err != nil {
		return err
	}
	return f()
}

// synced is the store as the receiver sees it.
type synced struct {
	u   *unlocked
	l   *link
	res *soledad.Result
}

// Sync implements receiver.Synced.
func (s synced) Sync(ctx context.Context) error {
	res, err := s.u.store.Sync(ctx, s.l.remote, s.l.ring)
	s.res.Pushed += res.Pushed
	s.res.Pulled += res.Pulled
	s.res.Quarantined += res.Quarantined
	s.res.Refused = res.Refused
	s.res.Generation = max(s.res.Generation, res.Generation)
	return err
}

// Confirmed implements receiver.Synced.
func (s synced) Confirmed(ctx context.Context, ids ...string) (bool, error) {
	return s.u.store.Confirmed(ctx, ids...)
}

// mxKeys returns the keys by which the provider's MX signs.
func (u *unlocked) mxKeys(ctx context.Context, fresh bool) ([]string, error) {
	l, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	age := session.Daily
	if fresh {
		age = 0
	}
	return l.sess.MXKeys(ctx, age)
}
