package account

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// Config is how the account of a device behaves.
type Config struct {
	Dir           string // Home. Required.
	EncryptedOnly bool   // Mail to somebody without a key is refused.
}

// An Account is the account of a device. It is the daemon's control.Backend
// and a daemon.Service.
type Account struct {
	cfg Config
	log *slog.Logger

	doing sync.Mutex // Held by what changes the state as a whole: one at a time.

	mu       sync.Mutex // Guards what follows.
	provider *session.Provider
	open     *unlocked // Nil while locked.
}

// New returns the account under cfg.Dir. It touches neither network nor disk.
func New(cfg Config, log *slog.Logger) *Account {
	return &Account{cfg: cfg, log: log}
}

func (a *Account) path(name string) string { return filepath.Join(a.cfg.Dir, name) }

// Run keeps the account until ctx is done, then locks it.
func (a *Account) Run(ctx context.Context) error {
	<-ctx.Done()
	a.doing.Lock()
	defer a.doing.Unlock()
	err := a.close()
	if p := a.current(); p != nil {
		p.Close()
	}
	return err
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
	if p := a.current(); p != nil {
		return p, nil
	}
	p, err := session.LoadProvider(session.Options{Dir: a.cfg.Dir})
	if errors.Is(err, problem.NotExist) {
		return nil, problem.NotExist.Errorf(`no provider yet: choose one with "leapc provider add DOMAIN"`)
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.provider = p
	return p, nil
}

// close locks the account. The caller holds doing.
func (a *Account) close() error {
	a.mu.Lock()
	u := a.open
	a.open = nil
	a.mu.Unlock()
	if u == nil {
		return nil
	}
	return u.close()
}

// need returns the unlocked account or says what to do.
func (a *Account) need() (*unlocked, error) {
	if u := a.unlocked(); u != nil {
		return u, nil
	}
	if !a.hasVault() {
		return nil, problem.Unauthenticated.Errorf(`no account on this device yet: "leapc signup NAME" or "leapc login NAME"`)
	}
	return nil, problem.Unauthenticated.Errorf(`the account is locked: "leapc login"`)
}

func (a *Account) hasVault() bool {
	_, err := os.Stat(a.path("vault.json"))
	return err == nil
}

// AddProvider implements control.Backend.
func (a *Account) AddProvider(ctx context.Context, q control.ProviderRequest) (control.Provider, error) {
	a.doing.Lock()
	defer a.doing.Unlock()
	if a.hasVault() {
		return control.Provider{}, problem.Exist.Errorf("this device has an account already: use another --home for another one")
	}
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return control.Provider{}, err
	}
	p, err := session.Bootstrap(ctx, q.Domain, session.Options{Resolver: q.Resolver, CAFingerprint: q.Fingerprint, Dir: a.cfg.Dir})
	if err != nil {
		return control.Provider{}, err
	}
	a.mu.Lock()
	old := a.provider
	a.provider = p
	a.mu.Unlock()
	if old != nil {
		old.Close()
	}
	doc := p.Document()
	return control.Provider{
		Domain: doc.Domain, Name: doc.Name[doc.DefaultLanguage], Description: doc.Description[doc.DefaultLanguage],
		Services: doc.Services, Enrollment: doc.EnrollmentPolicy, Fingerprint: doc.CACertFingerprint,
	}, nil
}

// Lock implements control.Backend.
func (a *Account) Lock(ctx context.Context) error {
	a.doing.Lock()
	defer a.doing.Unlock()
	u := a.unlocked()
	if u == nil {
		return nil
	}
	u.logout(ctx)
	return a.close()
}
