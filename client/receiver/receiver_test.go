package receiver_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
)

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
	var allow atomic.Bool
	p.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if !allow.Load() && r.Method == http.MethodDelete {
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
	allow.Store(true)
	if done, left := d.drain(t); done != 1 || left != 0 {
		t.Errorf("drained %d, left %d", done, left)
	}
	if raws, _ := d.inbox(t); len(raws) != 0 {
		t.Errorf("the message is back: %q", raws)
	}
}
