package receiver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
	"leap.example/client/receiver"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/envelope"
)

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
			var hit atomic.Bool
			p.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if n++; n != at || strings.Contains(r.URL.Path, "notify") {
					return false
				}
				hit.Store(true)
				if after == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
			_, _, err := d.rec.Drain(t.Context(), p.Remote("bob"), d)
			p.Fault(nil)
			if !hit.Load() {
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
