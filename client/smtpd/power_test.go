package smtpd_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/smtpd"
	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/nick"
)

// TestPowerFailures takes and delivers messages on a disk that loses what was
// not synced, with power failures at random points of both. Every message that
// was taken arrives; it arrives twice only if the power failed while it was
// being delivered.
func TestPowerFailures(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	var all power
	for seed := range rounds {
		fs := soledadtest.NewCrashFS(t.TempDir(), 4096, uint64(seed))
		p := power{taken: map[string]bool{}, seed: seed, fs: fs, relay: &relay{}}
		p.relay.answer = func(n int, _ []string) error {
			if n%3 == 0 {
				return &smtpd.Reply{Code: 451, Text: "later"}
			}
			return nil
		}
		p.run(t)
		fs.Close()
		all.sends, all.failed, all.cut = all.sends+p.sends, all.failed+p.failed, all.cut+p.cut
	}
	if t.Logf("%d messages sent, %d refused, %d deliveries cut off", all.sends, all.failed, all.cut); all.failed == 0 || all.failed == all.sends || all.cut == 0 {
		t.Error("the power did not fail where it should")
	}
}

// A power is one disk and what happened on it.
type power struct {
	seed  int
	fs    *soledadtest.CrashFS
	relay *relay
	taken map[string]bool // Message-IDs.

	sends, failed, cut int
}

func (p *power) run(t *testing.T) {
	dir := &directory{keys: map[nick.Address]nick.Key{}}
	newAccount(t, filepath.Join(t.TempDir(), "bob.db"), "bob@leap.example", dir)
	for boot := range 7 {
		docs, err := p.fs.Open(t.Context(), "alice.db", [32]byte{1})
		check(t, err)
		keys := keymanager.New(docs, dir, "alice@leap.example", nil)
		mail, err := mailstore.New(t.Context(), docs)
		check(t, err)
		_, err = keys.Create(t.Context())
		check(t, err)
		s, err := smtpd.New(smtpd.Config{Key: door.Key{Address: "alice@leap.example", Password: password}}, docs, mail, keys, p.relay, slog.New(slog.DiscardHandler))
		check(t, err)
		s.SetPause(func(int) time.Duration { return time.Millisecond })
		s.SetDeliveries(1) // One goroutine at a time uses the disk.
		switch {
		case boot == 6:
			p.last(t, s, docs, mail)
			continue
		case boot%2 == 0:
			p.fs.CrashAfter(20 + (p.seed*37+boot*61)%300)
			p.send(t, s)
		default:
			p.fs.CrashAfter(1 + (p.seed*13+boot*7)%25)
			p.deliver(t, s)
		}
		p.fs.Crash()
		docs.Close() // It fails: the store is dead.
	}
}

func (p *power) send(t *testing.T, s *smtpd.Server) {
	for range 4 {
		p.sends++
		id := fmt.Sprintf("<%d-%d@leap.example>", p.seed, p.sends)
		raw := crlf(strings.Replace(short, "Subject", "Message-ID: "+id+"\nSubject", 1))
		if s.Send(t.Context(), "alice@leap.example", []nick.Address{"bob@leap.example"}, raw) == nil {
			p.taken[id] = true
		} else {
			p.failed++
		}
	}
}

func (p *power) deliver(t *testing.T, s *smtpd.Server) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // Should there be nothing to deliver.
	defer cancel()
	if s.Run(ctx) != nil {
		p.cut++
	}
}

// last delivers what is left, on a disk that works, and counts.
func (p *power) last(t *testing.T, s *smtpd.Server, docs *soledad.Store, mail *mailstore.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	poll(t, func() bool { return waiting(t, docs) == 0 })
	cancel()
	check(t, <-done)
	m, err := mail.Mailbox(t.Context(), mailstore.Sent)
	check(t, err)
	items, _, err := mail.Items(t.Context(), m.ID)
	check(t, err)
	kept, arrived := map[string]int{}, map[string]int{}
	for _, it := range items {
		raw, err := mail.Raw(t.Context(), it)
		check(t, err)
		kept[idOf(raw)]++
	}
	twice := 0
	for _, m := range p.relay.taken {
		if arrived[idOf(m.raw)]++; arrived[idOf(m.raw)] > 1 {
			twice++
		}
	}
	for id := range p.taken {
		if kept[id] != 1 || arrived[id] == 0 {
			t.Errorf("seed %d: %s is %d times in Sent and arrived %d times", p.seed, id, kept[id], arrived[id])
		}
	}
	if twice > 3 { // Each crash of a delivery may repeat one.
		t.Errorf("seed %d: %d duplicates", p.seed, twice)
	}
	check(t, docs.Close())
}
