package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"leap.example/client/imapd"
	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/receiver"
	"leap.example/client/session"
	"leap.example/client/smtpd"
	"leap.example/client/soledad"
	"leap.example/services/daemon"
	"leap.example/services/protocol/nick"
)

// An unlocked account is what runs between Login and Lock.
type unlocked struct {
	// Of the vault.
	vault *session.Vault // For the holder of connecting.
	dek   [32]byte
	sess  *session.Session // Of a login that has no link yet; for the holder of connecting.

	// The parts, made by start.
	dir      string
	provider *session.Provider
	store    *soledad.Store
	keys     *keymanager.Keys
	mail     *mailstore.Store
	receiver *receiver.Receiver
	smtp     *smtpd.Server
	log      *slog.Logger
	settings settings

	connecting chan struct{}  // Holds a value while a link is being made.
	exchanging chan struct{}  // Holds a value while an exchange runs.
	kick       chan struct{}  // Wakes the loop.
	guests     sync.WaitGroup // Requests that use it; added to under Account.mu while it is open.

	// bind makes a context end when the account is locked; release frees it.
	bind func(context.Context) (bound context.Context, release func())
	// stop ends what runs, and waits for it and for the guests.
	stop func() error

	mu      sync.Mutex // Guards what follows.
	cred    *session.Credentials
	link    *link
	refusal refusal // Of the last login, if it was refused.
	report  report
}

// settings are what a mail program must be told.
type settings struct {
	address    nick.Address
	password   string
	imap, smtp int // Ports.
}

// A report is how the last exchange went.
type report struct {
	at       time.Time // Of the last one that succeeded.
	incoming int
	err      error // Of the last one; nil if it succeeded.
}

// start opens the store and the proxies of u, makes u the open account, and
// connects it in the background.
func (a *Account) start(ctx context.Context, p *session.Provider, u *unlocked) error {
	u.dir, u.provider, u.log = a.cfg.Dir, p, a.log
	u.connecting, u.exchanging, u.kick = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	if err := u.openStore(ctx); err != nil {
		return err
	}
	g, err := a.proxies(ctx, u)
	if err != nil {
		return errors.Join(err, u.store.Close())
	}
	g.Add("sync", runner(u.run))
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run(run) }()
	u.stop = func() error {
		cancel()
		u.guests.Wait()
		return <-ended
	}
	u.bind = func(ctx context.Context) (context.Context, func()) {
		ctx, done := context.WithCancel(ctx)
		unbind := context.AfterFunc(run, done)
		return ctx, func() { unbind(); done() }
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = u
	return nil
}

// A runner is a daemon.Service.
type runner func(ctx context.Context) error

// Run implements daemon.Service.
func (r runner) Run(ctx context.Context) error { return r(ctx) }

// openStore opens the database and what lives in it.
func (u *unlocked) openStore(ctx context.Context) error {
	owner := u.vault.Owner()
	u.settings.address = nick.Address(owner.Login + "@" + owner.Domain)
	var err error
	if u.store, err = soledad.Open(ctx, u.dir+"/store.db", u.dek); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	doc := u.provider.Document()
	u.keys = keymanager.New(u.store, keymanager.TwoPaths{
		Own:    keymanager.Nickserver{HTTP: u.provider.HTTP(), Base: doc.Nicknym(), Domain: doc.Domain},
		Public: keymanager.WKD{HTTP: u.provider.PublicHTTP()},
	}, u.settings.address, nil)
	if u.mail, err = mailstore.New(ctx, u.store); err == nil {
		u.settings.password, err = u.appPassword(ctx)
	}
	if err != nil {
		return errors.Join(err, u.store.Close())
	}
	u.receiver = receiver.New(u.keys, u.mail, u.mxKeys, owner.Domain, u.log)
	return nil
}

// appPassword returns the password of mail programs, making it the first time.
func (u *unlocked) appPassword(ctx context.Context) (string, error) {
	password, err := u.note(ctx, "mail-password")
	if err != nil || password != "" {
		return password, err
	}
	password = rand.Text()
	return password, u.setNote(ctx, "mail-password", password)
}

// proxies opens the listeners and returns the group that serves them.
func (a *Account) proxies(ctx context.Context, u *unlocked) (*daemon.Group, error) {
	key := door.Key{Address: u.settings.address, Password: u.settings.password}
	imap, err := imapd.New(imapd.Config{Key: key}, u.mail, u.log)
	if err != nil {
		return nil, err
	}
	if u.smtp, err = a.newSMTP(u, key); err != nil {
		return nil, err
	}
	imapLn, smtpLn, err := a.listen(ctx)
	if err != nil {
		return nil, err
	}
	u.settings.imap, u.settings.smtp = imapLn.Addr().(*net.TCPAddr).Port, smtpLn.Addr().(*net.TCPAddr).Port
	g := &daemon.Group{Log: u.log}
	g.Add("imap", relisten(imapLn, imap.Serve))
	g.Add("smtp", relisten(smtpLn, u.smtp.Serve))
	g.Add("outbox", runner(u.smtp.Run))
	return g, nil
}

// relisten serves ln first, and after a failure a new listener on its address.
func relisten(ln net.Listener, serve func(context.Context, net.Listener) error) runner {
	addr := ln.Addr().String()
	return func(ctx context.Context) error {
		if ln == nil {
			var err error
			if ln, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
				return err
			}
		}
		l := ln
		ln = nil
		return serve(ctx, l)
	}
}

// logout tells the provider, if it can be reached. It comes after stop.
func (u *unlocked) logout(ctx context.Context) {
	sess := u.sess
	if l := u.linked(); l != nil {
		sess = l.sess
	}
	if sess == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := sess.Logout(ctx); err != nil {
		u.warn(ctx, "the provider could not be told of the logout: the session ends there after an idle hour", err)
	}
}

// health returns what the last exchange failed with.
func (u *unlocked) health() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.report.err
}

// away reports whether there was no exchange yet, or the last one failed.
func (u *unlocked) away() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.report.err != nil || u.report.at.IsZero()
}
