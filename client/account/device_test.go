package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/appliance/dev"
	"leap.example/client/account"
	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is checks the kind of an error and that its text holds each of says.
func is(t *testing.T, what string, err error, kind problem.Kind, says ...string) {
	t.Helper()
	if err == nil || problem.KindOf(err) != kind {
		t.Errorf("%s: %v, want an error of kind %s", what, err, kind)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %q does not say %q", what, err, s)
		}
	}
}

// until polls f until it returns nil.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
	}
}

// A world is the provider of all tests.
type world struct{ at dev.Endpoints }

func newWorld(t *testing.T) world {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("a whole provider: not in -short")
	}
	p, err := provider()
	check(t, err)
	return world{p.At}
}

var names atomic.Int32

// name returns a login name that nobody has.
func name(prefix string) string { return fmt.Sprintf("%s%d", prefix, names.Add(1)) }

const (
	password = "correct horse"
	another  = "battery staple"
)

// database opens the provider's database with all rights.
func (w world) database(t *testing.T) *couch.DB {
	t.Helper()
	db, err := couch.Open(couch.Config{URLs: []string{w.at.Couch}, User: "admin", PasswordFile: w.at.CouchPasswordFile}, nil)
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// A device is an account of a home of its own, on a cable of its own.
type device struct {
	*account.Account
	w    world
	dir  string
	wire *cable
	stop func()
	logs *lockedBuffer

	kept    []byte // With which the next start opens the account.
	resumed error  // What came of it.
}

// device returns a new device that knows the provider.
func (w world) device(t *testing.T) *device {
	t.Helper()
	d := w.empty(t)
	_, err := d.AddProvider(t.Context(), d.provider())
	check(t, err)
	return d
}

// empty returns a device that knows nothing.
func (w world) empty(t *testing.T) *device {
	t.Helper()
	d := &device{w: w, dir: filepath.Join(t.TempDir(), "home"), wire: newCable(t, w.at), logs: new(lockedBuffer)}
	d.start(t)
	return d
}

func (d *device) provider() control.ProviderRequest {
	return control.ProviderRequest{Domain: d.w.at.Bootstrap, Fingerprint: d.w.at.Fingerprint, Resolver: d.wire.resolver}
}

// start runs the daemon's part of the device until the test ends or stop is
// called.
func (d *device) start(t *testing.T) {
	t.Helper()
	d.Account = account.New(account.Config{Dir: d.dir}, slog.New(slog.NewTextHandler(d.logs, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	if d.kept != nil {
		d.resumed = d.Resume(ctx, d.kept)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the account ended with %v", err)
		}
		for _, secret := range []string{"@" + d.w.at.Domain, password, another} {
			if logs := d.logs.String(); strings.Contains(logs, secret) {
				t.Errorf("the log holds %q:\n%s", secret, logs)
			}
		}
	})
	t.Cleanup(d.stop)
}

// member returns a device with a new account, online.
func (w world) member(t *testing.T, prefix string) (d *device, login string) {
	t.Helper()
	d, login = w.device(t), name(prefix)
	check(t, d.SignUp(t.Context(), control.Credentials{Login: login, Password: password, Invite: w.at.Invite}))
	return d, login
}

// second returns another device of an account, online.
func (w world) second(t *testing.T, login string) *device {
	t.Helper()
	d := w.device(t)
	check(t, d.Login(t.Context(), control.Credentials{Login: login, Password: password}))
	return d
}

func (d *device) unlock(t *testing.T, password string) error {
	t.Helper()
	return d.Login(t.Context(), control.Credentials{Password: password})
}

// wants waits until the status is as f wants it.
func (d *device) wants(t *testing.T, what string, f func(control.Status) bool) control.Status {
	t.Helper()
	var st control.Status
	until(t, what, func() error {
		if st = d.Status(t.Context()); f(st) {
			return nil
		}
		return fmt.Errorf("the status is %+v", st)
	})
	return st
}

func (d *device) state(t *testing.T, want string) {
	t.Helper()
	d.wants(t, "the state is "+want, func(s control.Status) bool { return s.State == want })
}

// owner reads the vault of the device.
func (d *device) owner(t *testing.T) session.VaultOwner {
	t.Helper()
	v, err := session.OpenVault(filepath.Join(d.dir, "vault.json"))
	check(t, err)
	return v.Owner()
}

// send hands a mail with this subject to the device's SMTP proxy, to itself or
// somebody else. It returns nil only when the proxy said 250.
func send(m control.MailSettings, to, subject string) error {
	c, err := smtp.Dial(fmt.Sprintf("%s:%d", m.SMTP.Host, m.SMTP.Port))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", m.Username, m.Password)); err != nil {
		return err
	}
	msg := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\n\r\ntext\r\n", m.Address, to, subject, time.Now().Format(time.RFC1123Z))
	return c.SendMail(m.Address, []string{to}, strings.NewReader(msg))
}

// send sends a mail from the device to its own address.
func (d *device) send(t *testing.T, subject string) error {
	t.Helper()
	m, err := d.Mail(t.Context())
	check(t, err)
	return send(m, m.Address, subject)
}

// imap calls f with a mailbox open.
func (d *device) imap(t *testing.T, mailbox string, f func(*imapclient.Client) error) error {
	t.Helper()
	m, err := d.Mail(t.Context())
	if err != nil {
		return err
	}
	c, err := imapclient.DialInsecure(net.JoinHostPort(m.IMAP.Host, fmt.Sprint(m.IMAP.Port)), nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login(m.Username, m.Password).Wait(); err != nil {
		return err
	}
	if _, err := c.Select(mailbox, nil).Wait(); err != nil {
		return err
	}
	return f(c)
}

// subjects lists the subjects in a mailbox.
func (d *device) subjects(t *testing.T, mailbox string) (list []string, err error) {
	t.Helper()
	err = d.imap(t, mailbox, func(c *imapclient.Client) error {
		all := imap.SeqSet{}
		all.AddRange(1, 0)
		got, err := c.Fetch(all, &imap.FetchOptions{Envelope: true}).Collect()
		for _, m := range got {
			list = append(list, m.Envelope.Subject)
		}
		return err
	})
	return list, err
}

// has waits until a mailbox holds a subject, once.
func (d *device) has(t *testing.T, mailbox, subject string) {
	t.Helper()
	until(t, subject+" is in "+mailbox, func() error {
		list, err := d.subjects(t, mailbox)
		n := 0
		for _, s := range list {
			if s == subject {
				n++
			}
		}
		if n != 1 {
			return errors.Join(err, fmt.Errorf("it is there %d times among %q", n, list))
		}
		return err
	})
}

// draft stores a mail in Drafts, as a mail program does: a local change.
func (d *device) draft(t *testing.T, subject string) {
	t.Helper()
	check(t, d.imap(t, "Drafts", func(c *imapclient.Client) error {
		msg := []byte("Subject: " + subject + "\r\n\r\ntext\r\n")
		cmd := c.Append("Drafts", int64(len(msg)), nil)
		if _, err := cmd.Write(msg); err != nil {
			return err
		}
		if err := cmd.Close(); err != nil {
			return err
		}
		_, err := cmd.Wait()
		return err
	}))
}

// A lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
