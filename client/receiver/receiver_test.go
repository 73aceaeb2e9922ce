package receiver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
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
	d.rec = receiver.New(d.keys, d.mail, p.mxKeys, "leap.example", slog.New(slog.DiscardHandler))
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

func TestDrain(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	if done, left := d.drain(t); done != 0 || left != 0 {
		t.Errorf("an empty queue: %d, %d", done, left)
	}
	p.deliver(t, envelope.Header{}, plain("one"))
	if done, left := d.drain(t); done != 1 || left != 0 {
		t.Errorf("drained %d, left %d", done, left)
	}
	raws, flags := d.inbox(t)
	want := crlf("X-Leap-Encryption: provider\nReceived: from x\nFrom: Ann <ann@far.example>\nTo: bob@leap.example\nSubject: one\nContent-Type: text/plain\n\nhello\n")
	if len(raws) != 1 || raws[0] != want || flags[0] != "[]" {
		t.Errorf("stored %q %v, want %q", raws, flags, want)
	}
	if q := p.Queue("bob"); len(q) != 0 {
		t.Errorf("%d left in the queue", len(q))
	}
	if len(p.dir.asked) != 0 {
		t.Errorf("a key server was asked for %v because of an unsigned message", p.dir.asked)
	}
	m, err := d.mail.Mailbox(t.Context(), "INBOX")
	check(t, err)
	items, _, err := d.mail.Items(t.Context(), m.ID)
	check(t, err)
	if items[0].Date.Unix() != 1790000000 {
		t.Errorf("internal date %v", items[0].Date)
	}
}

func TestTwoDevicesConverge(t *testing.T) {
	p := newProvider(t)
	a := p.device(t)
	b := p.device(t)
	for i := range 5 {
		p.deliver(t, envelope.Header{}, plain(fmt.Sprint("m", i)))
	}
	// Both fetch before either deletes.
	var wg sync.WaitGroup
	for _, d := range []*device{a, b} {
		wg.Go(func() { d.drain(t) })
	}
	wg.Wait()
	for range 2 {
		check(t, a.Sync(t.Context()))
		check(t, b.Sync(t.Context()))
	}
	for name, d := range map[string]*device{"a": a, "b": b} {
		raws, _ := d.inbox(t)
		if len(raws) != 5 {
			t.Errorf("%s shows %d messages, want 5", name, len(raws))
		}
		slices.Sort(raws)
		if len(slices.Compact(raws)) != 5 {
			t.Errorf("%s shows a message twice", name)
		}
	}
	if q := p.Queue("bob"); len(q) != 0 {
		t.Errorf("%d left in the queue", len(q))
	}
}

// TestExpungedStaysExpunged: the entry of a message that the user removed
// before the provider confirmed it does not bring it back.
func TestExpungedStaysExpunged(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	p.deliver(t, envelope.Header{}, plain("x"))
	refuse := true
	p.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if refuse && r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if _, _, err := d.rec.Drain(t.Context(), p.Remote("bob"), d); !errors.Is(err, problem.Unavailable) {
		t.Fatalf("drain with a server that does not delete: %v", err)
	}
	m, err := d.mail.Mailbox(t.Context(), "INBOX")
	check(t, err)
	check(t, d.mail.SetFlags(t.Context(), m.ID, []uint32{1}, []string{`\Deleted`}, nil))
	_, err = d.mail.Expunge(t.Context(), m.ID, []uint32{1})
	check(t, err)
	refuse = false
	if done, left := d.drain(t); done != 1 || left != 0 {
		t.Errorf("drained %d, left %d", done, left)
	}
	if raws, _ := d.inbox(t); len(raws) != 0 {
		t.Errorf("the message is back: %q", raws)
	}
}

func TestUndecryptable(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	stranger, err := envelope.NewSigningKey("stranger", rand.Reader, time.Now())
	check(t, err)
	own, err := d.keys.Own(t.Context())
	check(t, err)
	forged, err := envelope.Seal(envelope.Header{V: 1}, []byte(plain("forged")), own.Key().Binary, stranger, rand.Reader, time.Now())
	check(t, err)
	p.Deliver("bob", forged)
	p.Deliver("bob", forged)
	p.Deliver("bob", []byte("garbage"))
	p.deliver(t, envelope.Header{}, plain("good"))
	if done, left := d.drain(t); done != 1 || left != 3 {
		t.Errorf("drained %d, left %d; want 1, 3", done, left)
	}
	raws, _ := d.inbox(t)
	notices := slices.DeleteFunc(slices.Clone(raws), func(r string) bool { return !strings.Contains(r, "Subject: A message could not be opened\r\n") })
	if len(raws) != 3 || len(notices) != 2 || !strings.Contains(strings.Join(notices, ""), "not signed by a mail server") {
		t.Errorf("INBOX holds %q", raws)
	}
	if strings.Contains(strings.Join(raws, ""), "forged\r\n\r\nhello") {
		t.Error("a forged message was shown")
	}
	// Later, and on another device, nothing is told again.
	if done, left := d.drain(t); done != 0 || left != 3 {
		t.Errorf("drained %d, left %d; want 0, 3", done, left)
	}
	other := p.device(t)
	other.drain(t)
	for range 2 {
		check(t, other.Sync(t.Context()))
		check(t, d.Sync(t.Context()))
	}
	if raws, _ := d.inbox(t); len(raws) != 3 {
		t.Errorf("after another device %d messages", len(raws))
	}
}

// TestOpensAfterKeyChange: what did not open is tried again at once when the
// account has another key.
func TestOpensAfterKeyChange(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	p.deliver(t, envelope.Header{}, plain("later"))
	keys := &changing{Keys: d.keys, fail: true}
	rec := receiver.New(keys, d.mail, p.mxKeys, "leap.example", slog.New(slog.DiscardHandler))
	drain := func() (int, int) {
		done, left, err := rec.Drain(t.Context(), p.Remote("bob"), d)
		check(t, err)
		return done, left
	}
	if done, left := drain(); done != 0 || left != 1 {
		t.Errorf("drained %d, left %d", done, left)
	}
	keys.fail = false
	if done, left := drain(); done != 0 || left != 1 {
		t.Errorf("tried again at once: drained %d, left %d", done, left)
	}
	other := newProvider(t).device(t) // A key like any other.
	keys.own, _ = other.keys.Own(t.Context())
	if done, left := drain(); done != 1 || left != 0 {
		t.Errorf("after the key changed: drained %d, left %d", done, left)
	}
}

// changing is keys that do not fit at first, and that change.
type changing struct {
	*keymanager.Keys
	own  *keymanager.OwnKey
	fail bool
}

func (c *changing) Own(ctx context.Context) (*keymanager.OwnKey, error) {
	if c.own != nil {
		return c.own, nil
	}
	return c.Keys.Own(ctx)
}

func (c *changing) OpenEnvelope(ctx context.Context, data []byte, mx []string) (envelope.Header, []byte, error) {
	if c.fail {
		return envelope.Header{}, nil, envelope.ErrDecrypt
	}
	return c.Keys.OpenEnvelope(ctx, data, mx)
}

// TestNewMXKey: when the signer is unknown, the provider is asked for its
// present keys.
func TestNewMXKey(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	signer, err := envelope.NewSigningKey("old", rand.Reader, time.Now())
	check(t, err)
	old, err := signer.Public()
	check(t, err)
	rec := receiver.New(d.keys, d.mail, func(_ context.Context, fresh bool) ([]string, error) {
		if fresh {
			return []string{old, p.mxKey}, nil
		}
		return []string{old}, nil
	}, "leap.example", slog.New(slog.DiscardHandler))
	p.deliver(t, envelope.Header{}, plain("x"))
	if done, _, err := rec.Drain(t.Context(), p.Remote("bob"), d); done != 1 || err != nil {
		t.Errorf("drained %d, %v", done, err)
	}
}

// TestFaultsAtEveryRequest breaks each request of a drain in turn, before and
// after the server has done it, and drains again: every message is there once,
// and the queue is empty.
func TestFaultsAtEveryRequest(t *testing.T) {
	hits := 0
	for after := range 2 {
		for at := 1; at < 60; at++ {
			p := newProvider(t)
			d := p.device(t)
			for i := range 2 {
				p.deliver(t, envelope.Header{}, plain(fmt.Sprint("m", i)))
			}
			var mu sync.Mutex
			n := 0
			hit := false
			p.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if n++; n != at || strings.Contains(r.URL.Path, "notify") {
					return false
				}
				hit = true
				if after == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
			_, _, err := d.rec.Drain(t.Context(), p.Remote("bob"), d)
			p.Fault(nil)
			if !hit {
				break
			}
			hits++
			_ = err // Most faults are errors; what counts is what comes after.
			d.drain(t)
			raws, _ := d.inbox(t)
			slices.Sort(raws)
			if len(raws) != 2 || len(slices.Compact(raws)) != 2 || len(p.Queue("bob")) != 0 {
				t.Errorf("fault %d at request %d: %d messages, %d in the queue", after, at, len(raws), len(p.Queue("bob")))
			}
		}
	}
	if t.Logf("%d faults", hits); hits < 16 {
		t.Error("too few requests were broken")
	}
}

// TestPowerFailures lets the power fail at random points of a drain. What the
// provider was told to delete is never lost.
func TestPowerFailures(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for seed := range rounds {
		p := newProvider(t)
		first := p.device(t) // Makes the key.
		fs := soledadtest.NewCrashFS(t.TempDir(), 512, uint64(seed))
		for i := range 4 {
			p.deliver(t, envelope.Header{}, plain(fmt.Sprint("m", i)))
		}
		for boot := range 4 {
			docs, err := fs.Open(t.Context(), "bob.db", [32]byte{1})
			check(t, err)
			d := p.over(t, docs)
			if boot < 3 {
				fs.CrashAfter(10 + (seed*53+boot*71)%200)
				if d.Sync(t.Context()) == nil {
					d.rec.Drain(t.Context(), p.Remote("bob"), d) // Whatever comes of it.
				}
				fs.Crash()
				docs.Close()
				continue
			}
			check(t, d.Sync(t.Context()))
			d.drain(t)
			check(t, docs.Close())
		}
		fs.Close()
		check(t, first.Sync(t.Context()))
		raws, _ := first.inbox(t)
		slices.Sort(raws)
		if len(raws) != 4 || len(slices.Compact(raws)) != 4 || len(p.Queue("bob")) != 0 {
			t.Errorf("seed %d: the other device shows %d messages, %d in the queue", seed, len(raws), len(p.Queue("bob")))
		}
	}
}

// TestNothingInClearAtTheProvider drains a message with a canary and looks for
// it in all that the provider has.
func TestNothingInClearAtTheProvider(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	p.deliver(t, envelope.Header{}, plain("the canary sings"))
	d.drain(t)
	for _, doc := range p.Documents("bob") {
		if bytes.Contains([]byte(doc.Content), []byte("canary")) || strings.Contains(doc.ID, "msg") {
			t.Errorf("document %s: %.200s", doc.ID, doc.Content)
		}
	}
	if raws, _ := d.inbox(t); mailmime.Parse([]byte(raws[0])).Header.Get("Subject") != "the canary sings" {
		t.Errorf("stored %q", raws)
	}
}
