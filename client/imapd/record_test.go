package imapd_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// A record keeps what the server tells unasked.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// take returns what was told, and forgets it.
func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// wait returns once it has been told as many lines.
func (r *record) wait(tb testing.TB, n int) []string {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r.mu.Lock()
		got := len(r.lines)
		r.mu.Unlock()
		if got >= n {
			return r.take()
		}
		if time.Now().After(deadline) {
			tb.Fatalf("told %q, want %d lines", r.take(), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *record) options() *imapclient.Options {
	return &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(seq uint32) { r.add("%d EXPUNGE", seq) },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				r.add("%d EXISTS", *d.NumMessages)
			}
		},
		Fetch: func(m *imapclient.FetchMessageData) {
			if b, err := m.Collect(); err == nil {
				r.add("%d FETCH %d %v", b.SeqNum, b.UID, b.Flags)
			}
		},
	}}
}

func seqRange(a, b uint32) imap.SeqSet {
	var s imap.SeqSet
	s.AddRange(a, b)
	return s
}
