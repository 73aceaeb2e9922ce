package receiver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/client/receiver"
	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A directory is a key server.
type directory struct {
	mu    sync.Mutex
	keys  map[nick.Address]nick.Key
	asked []nick.Address
}

func (d *directory) Lookup(_ context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, a)
	k, ok := d.keys[a]
	if !ok {
		return k, 0, problem.NotExist.Errorf("no key")
	}
	return k, nick.Endorsed, nil
}

func (d *directory) publish(a nick.Address, k nick.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[a] = k
}

// A provider is a soledad server and an MX.
type provider struct {
	*soledadtest.Server
	dir   *directory
	mx    *envelope.SigningKey
	mxKey string
	ring  *soledad.Keyring
}

func newProvider(tb testing.TB) *provider {
	tb.Helper()
	p := &provider{Server: soledadtest.NewServer(), dir: &directory{keys: map[nick.Address]nick.Key{}}}
	tb.Cleanup(p.Close)
	p.AddUser("bob", "token")
	var err error
	p.mx, err = envelope.NewSigningKey("mx", rand.Reader, time.Now())
	check(tb, err)
	p.mxKey, err = p.mx.Public()
	check(tb, err)
	p.ring, err = soledad.NewKeyring(rand.Reader)
	check(tb, err)
	return p
}

func (p *provider) mxKeys(context.Context, bool) ([]string, error) {
	return []string{p.mxKey}, nil
}

// A device is one device of bob's.
type device struct {
	p    *provider
	docs *soledad.Store
	mail *mailstore.Store
	keys *keymanager.Keys
	rec  *receiver.Receiver
}

const bob = nick.Address("bob@leap.example")

func (p *provider) device(tb testing.TB) *device {
	tb.Helper()
	d := p.open(tb, filepath.Join(tb.TempDir(), "bob.db"))
	tb.Cleanup(func() { check(tb, d.docs.Close()) })
	check(tb, d.Sync(tb.Context()))
	own, err := d.keys.Create(tb.Context())
	check(tb, err)
	check(tb, d.Sync(tb.Context()))
	p.dir.publish(bob, own.Key())
	return d
}

func (p *provider) open(tb testing.TB, path string) *device {
	tb.Helper()
	docs, err := soledad.Open(tb.Context(), path, [32]byte{1})
	check(tb, err)
	return p.over(tb, docs)
}

func (p *provider) over(tb testing.TB, docs *soledad.Store) *device {
	tb.Helper()
	d := &device{p: p, docs: docs, keys: keymanager.New(docs, p.dir, bob, nil)}
	var err error
	d.mail, err = mailstore.New(tb.Context(), docs)
	check(tb, err)
	d.rec = receiver.New(d.keys, d.mail, p.mxKeys, "leap.example", discreet(tb))
	return d
}

// Sync implements receiver.Synced.
func (d *device) Sync(ctx context.Context) error {
	_, err := d.docs.Sync(ctx, d.p.Remote("bob"), d.p.ring)
	return err
}

// Confirmed implements receiver.Synced.
func (d *device) Confirmed(ctx context.Context, ids ...string) (bool, error) {
	return d.docs.Confirmed(ctx, ids...)
}

func (d *device) drain(tb testing.TB) (done, left int) {
	tb.Helper()
	done, left, err := d.rec.Drain(tb.Context(), d.p.Remote("bob"), d)
	check(tb, err)
	return done, left
}

// deliver seals a message as the MX does.
func (p *provider) deliver(tb testing.TB, h envelope.Header, raw string) {
	tb.Helper()
	p.dir.mu.Lock()
	key := p.dir.keys[bob]
	p.dir.mu.Unlock()
	h.V, h.To, h.Received = 1, string(bob), time.Unix(1790000000, 0)
	data, err := envelope.Seal(h, []byte(raw), key.Binary, p.mx, rand.Reader, time.Now())
	check(tb, err)
	p.Deliver("bob", data)
}

// inbox returns the messages in INBOX with their flags.
func (d *device) inbox(tb testing.TB) (raws []string, flags []string) {
	tb.Helper()
	m, err := d.mail.Mailbox(tb.Context(), "INBOX")
	check(tb, err)
	items, _, err := d.mail.Items(tb.Context(), m.ID)
	check(tb, err)
	for _, it := range items {
		raw, err := d.mail.Raw(tb.Context(), it)
		check(tb, err)
		raws, flags = append(raws, string(raw)), append(flags, fmt.Sprint(it.Flags))
	}
	return raws, flags
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func plain(subject string) string {
	return crlf("Received: from x\nX-Leap-Signature: valid; pubkey=\"forged\"\nX-LEAP-Encryption: decrypted\nFrom: Ann <ann@far.example>\nTo: bob@leap.example\nSubject: " + subject + "\nContent-Type: text/plain\n\nhello\n")
}

// discreet returns a log that may hold no address and no canary at info level
// and above.
func discreet(tb testing.TB) *slog.Logger {
	tb.Helper()
	var b lockedBuffer
	tb.Cleanup(func() {
		if s := strings.ToLower(b.String()); strings.Contains(s, ".example") || strings.Contains(s, "canary") {
			tb.Errorf("the log tells too much:\n%s", s)
		}
	})
	return slog.New(slog.NewTextHandler(&b, nil))
}

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
