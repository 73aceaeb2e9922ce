package account

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// Config is how the account of a device behaves.
type Config struct {
	Dir           string // Home. Required.
	EncryptedOnly bool   // Mail to somebody without a key is refused.
	UsualPorts    bool   // The proxies take LEAP's ports, if they are free at the first login.
	Version       string // Of this client, for providers that ask for a newer one. Empty: session.Version.
}

// An Account is the account of a device. It is the daemon's control.Backend
// and a daemon.Service.
type Account struct {
	cfg Config
	log *slog.Logger

	// Locks are taken in this order: doing, unlocked.exchanging,
	// unlocked.connecting, unlocked.mu, mu. The last two are never held while
	// anything else is waited for.
	doing chan struct{}        // Holds a value while the state as a whole is changed.
	ended bool                 // Guarded by doing: Run is over.
	left  *session.Credentials // Guarded by doing: those of the account, if it was open to the end.

	mu       sync.Mutex // Guards what follows.
	provider *session.Provider
	open     *unlocked // Nil while locked.
}

// New returns the account under cfg.Dir. It touches neither network nor disk.
func New(cfg Config, log *slog.Logger) *Account {
	return &Account{cfg: cfg, log: log, doing: make(chan struct{}, 1)}
}

func (a *Account) path(name string) string { return filepath.Join(a.cfg.Dir, name) }

// Run keeps the account until ctx is done, then locks it. What changes the
// account meanwhile ends first; what comes later is Unavailable.
func (a *Account) Run(ctx context.Context) error {
	<-ctx.Done()
	a.doing <- struct{}{}
	defer func() { <-a.doing }()
	a.ended = true
	if u := a.unlocked(); u != nil {
		a.left = u.credentials()
	}
	err := a.close()
	if p := a.current(); p != nil {
		p.Close()
	}
	return err
}

// begin makes the caller the only one who changes the account, until it calls
// end.
func (a *Account) begin(ctx context.Context) (end func(), err error) {
	select {
	case a.doing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	end = func() { <-a.doing }
	if a.ended {
		end()
		return nil, problem.Unavailable.Errorf("the daemon is stopping")
	}
	return end, nil
}

// Check implements daemon.Checker.
func (a *Account) Check(context.Context) error {
	if u := a.unlocked(); u != nil {
		return u.health()
	}
	return nil
}

func (a *Account) unlocked() *unlocked {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

func (a *Account) current() *session.Provider {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.provider
}

// load returns the provider of this device, reading its documents on first
// use; problem.NotExist before AddProvider.
func (a *Account) load() (*session.Provider, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider != nil {
		return a.provider, nil
	}
	p, err := session.LoadProvider(session.Options{Dir: a.cfg.Dir, Version: a.cfg.Version})
	if errors.Is(err, problem.NotExist) {
		return nil, problem.NotExist.Errorf(`no provider yet: choose one with "leapc provider add DOMAIN"`)
	}
	if errors.Is(err, problem.Invalid) {
		return nil, problem.Invalid.Errorf(`%w: fetch it again with "leapc provider add DOMAIN"`, err)
	}
	if err != nil {
		return nil, err
	}
	a.provider = p
	return p, nil
}

// close locks the account. The caller holds doing.
func (a *Account) close() error {
	u := a.take()
	if u == nil {
		return nil
	}
	return errors.Join(u.stop(), u.store.Close())
}

// take makes the account locked for everybody but the caller, who ends it.
func (a *Account) take() *unlocked {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.open
	a.open = nil
	return u
}

// use calls f with the unlocked account, whose store stays open until f
// returns. The context of f also ends when the account is locked.
func (a *Account) use(ctx context.Context, f func(ctx context.Context, u *unlocked) error) error {
	a.mu.Lock()
	u := a.open
	if u != nil {
		u.guests.Add(1)
	}
	a.mu.Unlock()
	if u == nil {
		return a.locked()
	}
	defer u.guests.Done()
	bound, release := u.bind(ctx)
	defer release()
	err := f(bound, u)
	if err != nil && bound.Err() != nil && ctx.Err() == nil {
		return problem.Unauthenticated.Errorf(`the account was locked meanwhile: "leapc login"`)
	}
	return err
}

// locked says what to do before the account can be used.
func (a *Account) locked() error {
	if _, err := a.load(); errors.Is(err, problem.NotExist) {
		return problem.Unauthenticated.Errorf("%w", err)
	} else if err != nil {
		return err
	}
	if !a.hasVault() {
		return problem.Unauthenticated.Errorf(`no account on this device yet: "leapc signup NAME" or "leapc login NAME"`)
	}
	return problem.Unauthenticated.Errorf(`the account is locked: "leapc login"`)
}

func (a *Account) hasVault() bool {
	_, err := os.Lstat(a.path("vault.json"))
	return err == nil
}

// Lock implements control.Backend.
func (a *Account) Lock(ctx context.Context) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	u := a.take()
	if u == nil {
		return nil
	}
	err = u.stop() // First: the loop would log in again.
	u.logout(ctx)
	return errors.Join(err, u.store.Close())
}
