package smtpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
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

const short = "From: alice@leap.example\nTo: bob@leap.example\nSubject: short one\n\nhello\n"

// waiting returns how many parcels are in the outbox.
func waiting(tb testing.TB, docs *soledad.Store) (n int) {
	tb.Helper()
	check(tb, docs.View(tb.Context(), func(tx *soledad.Tx) error {
		n = 0
		count := func(string, []byte) error { n++; return nil }
		if err := tx.LocalEach("outbox", count); err != nil {
			return err
		}
		content := 0
		return errors.Join(tx.LocalEach("outbox-content", func(string, []byte) error { content++; return nil }), func() error {
			if content != n {
				return fmt.Errorf("%d parcels, %d contents", n, content)
			}
			return nil
		}())
	}))
	return n
}

// inbox returns the notices in INBOX.
func inbox(tb testing.TB, mail *mailstore.Store) (list []string) {
	tb.Helper()
	m, err := mail.Mailbox(tb.Context(), mailstore.Inbox)
	check(tb, err)
	items, _, err := mail.Items(tb.Context(), m.ID)
	check(tb, err)
	for _, it := range items {
		raw, err := mail.Raw(tb.Context(), it)
		check(tb, err)
		list = append(list, string(raw))
	}
	return list
}

func TestRetries(t *testing.T) {
	w := start(t, nil)
	w.relay.answer = func(n int, _ []string) error {
		switch n {
		case 1:
			return errors.New("no route to host")
		case 2:
			return &smtpd.Reply{Code: 451, Text: "later"}
		case 3:
			return &smtpd.Reply{Code: 535, Text: "certificate has expired"}
		}
		return nil
	}
	check(t, w.send(t, "alice@leap.example", []string{"bob@leap.example"}, short))
	if got := w.relay.wait(t, 1); fmt.Sprint(got[0].to) != "[bob@leap.example]" {
		t.Errorf("taken for %v", got[0].to)
	}
	poll(t, func() bool { return waiting(t, w.docs) == 0 })
	if got := inbox(t, w.mail); len(got) != 0 {
		t.Errorf("notices: %q", got)
	}
}

func TestOnline(t *testing.T) {
	w := start(t, nil)
	w.server.SetPause(func(int) time.Duration { return time.Hour })
	failed := make(chan struct{}, 1)
	w.relay.answer = func(n int, _ []string) error {
		if n == 1 {
			failed <- struct{}{}
			return errors.New("no route to host")
		}
		return nil
	}
	check(t, w.send(t, "alice@leap.example", []string{"bob@leap.example"}, short))
	<-failed
	poll(t, func() bool { // The first attempt is noted some time after it has failed.
		check(t, w.server.Online(t.Context()))
		return waiting(t, w.docs) == 0
	})
}

func TestNotice(t *testing.T) {
	w := start(t, nil)
	w.relay.answer = func(n int, to []string) error {
		if n == 1 {
			return &smtpd.Partial{Refused: map[string]error{
				"bob@leap.example":   &smtpd.Reply{Code: 550, Text: "5.1.1 no such user\nBcc: injected"},
				"carol@leap.example": &smtpd.Reply{Code: 452, Text: "mailbox full"},
			}}
		}
		return nil
	}
	check(t, w.send(t, "alice@leap.example", []string{"bob@leap.example", "carol@leap.example", "al@leap.example"},
		"From: alice@leap.example\nTo: bob@leap.example, carol@leap.example, al@leap.example\nSubject: three\n\nhello\n"))
	got := w.relay.wait(t, 2)
	if fmt.Sprint(got[0].to, got[1].to) != "[al@leap.example] [carol@leap.example]" {
		t.Errorf("taken for %v, then %v", got[0].to, got[1].to)
	}
	poll(t, func() bool { return waiting(t, w.docs) == 0 })
	notices := inbox(t, w.mail)
	if len(notices) != 1 || !strings.Contains(notices[0], "bob@leap.example") || !strings.Contains(notices[0], "three") ||
		!strings.Contains(notices[0], "no such user") || strings.Contains(notices[0], "carol@") || strings.Contains(notices[0], "\nBcc") {
		t.Errorf("notices: %s", notices)
	}
}

func TestRestartSendsWhatWaits(t *testing.T) {
	dir := &directory{keys: map[nick.Address]nick.Key{}}
	path := filepath.Join(t.TempDir(), "alice.db")
	newAccount(t, filepath.Join(t.TempDir(), "bob.db"), "bob@leap.example", dir)
	r := &relay{}
	for i := range 2 {
		docs, err := soledad.Open(t.Context(), path, [32]byte{1})
		check(t, err)
		keys := keymanager.New(docs, dir, "alice@leap.example", nil)
		mail, err := mailstore.New(t.Context(), docs)
		check(t, err)
		_, err = keys.Create(t.Context())
		check(t, err)
		s, err := smtpd.New(smtpd.Config{Key: door.Key{Address: "alice@leap.example", Password: password}}, docs, mail, keys, r, slog.New(slog.DiscardHandler))
		check(t, err)
		if i == 0 {
			check(t, s.Send(t.Context(), "alice@leap.example", []nick.Address{"bob@leap.example"}, crlf(short)))
			check(t, docs.Close())
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		r.wait(t, 1)
		poll(t, func() bool { return waiting(t, docs) == 0 })
		cancel()
		check(t, <-done)
		check(t, docs.Close())
	}
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// TestPowerFailures sends messages on a disk that loses what was not synced,
// with power failures at random points. Every message that was taken arrives;
// it arrives twice only if the power failed while it was being delivered.
func TestPowerFailures(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	taken, refused := 0, 0
	for seed := range rounds {
		fs := soledadtest.NewCrashFS(t.TempDir(), 4096, uint64(seed))
		n, of := powerFailures(t, fs, seed)
		fs.Close()
		taken, refused = taken+n, refused+of-n
	}
	if t.Logf("%d messages taken, %d refused", taken, refused); taken == 0 || refused == 0 {
		t.Error("the power did not fail where it should")
	}
}

func powerFailures(t *testing.T, fs *soledadtest.CrashFS, seed int) (took, of int) {
	dir := &directory{keys: map[nick.Address]nick.Key{}}
	newAccount(t, filepath.Join(t.TempDir(), "bob.db"), "bob@leap.example", dir)
	r := &relay{}
	r.answer = func(n int, _ []string) error {
		if n%3 == 0 {
			return &smtpd.Reply{Code: 451, Text: "later"}
		}
		return nil
	}
	taken := map[string]bool{}
	crashes, sends := 0, 0
	for boot := range 6 {
		docs, err := fs.Open(t.Context(), "alice.db", [32]byte{1})
		check(t, err)
		keys := keymanager.New(docs, dir, "alice@leap.example", nil)
		mail, err := mailstore.New(t.Context(), docs)
		check(t, err)
		_, err = keys.Create(t.Context())
		check(t, err)
		s, err := smtpd.New(smtpd.Config{Key: door.Key{Address: "alice@leap.example", Password: password}}, docs, mail, keys, r, slog.New(slog.DiscardHandler))
		check(t, err)
		s.SetPause(func(int) time.Duration { return time.Millisecond })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if boot < 5 {
			fs.CrashAfter(20 + (seed*37+boot*61)%300)
			for range 4 {
				sends++
				id := fmt.Sprintf("<%d-%d-%d@leap.example>", seed, boot, sends)
				raw := crlf(strings.Replace(short, "Subject", "Message-ID: "+id+"\nSubject", 1))
				if s.Send(t.Context(), "alice@leap.example", []nick.Address{"bob@leap.example"}, raw) == nil {
					taken[id] = true
				}
			}
			fs.Crash()
			crashes++
			cancel()
			<-done // Its store is dead.
			docs.Close()
			continue
		}
		poll(t, func() bool { return waiting(t, docs) == 0 })
		cancel()
		check(t, <-done)
		// What was taken is in Sent too, exactly once.
		m, err := mail.Mailbox(t.Context(), mailstore.Sent)
		check(t, err)
		items, _, err := mail.Items(t.Context(), m.ID)
		check(t, err)
		kept := map[string]int{}
		for _, it := range items {
			raw, err := mail.Raw(t.Context(), it)
			check(t, err)
			kept[idOf(raw)]++
		}
		for id := range taken {
			if kept[id] != 1 {
				t.Errorf("seed %d: %s is %d times in Sent", seed, id, kept[id])
			}
		}
		check(t, docs.Close())
	}
	arrived := map[string]int{}
	twice := 0
	for _, m := range r.taken {
		if arrived[idOf(m.raw)]++; arrived[idOf(m.raw)] > 1 {
			twice++
		}
	}
	for id := range taken {
		if arrived[id] == 0 {
			t.Errorf("seed %d: %s was taken and lost", seed, id)
		}
	}
	if twice > 2*crashes { // At most what was in the hands of the relay at each.
		t.Errorf("seed %d: %d duplicates after %d crashes", seed, twice, crashes)
	}
	return len(taken), sends
}

func idOf(raw []byte) string {
	i := bytes.Index(raw, []byte("Message-ID: "))
	line, _, _ := bytes.Cut(raw[max(i, 0):], []byte("\r\n"))
	return strings.TrimPrefix(string(line), "Message-ID: ")
}

func TestPausesGrow(t *testing.T) {
	s, err := smtpd.New(smtpd.Config{Key: door.Key{Address: "a@b.example", Password: "x"}}, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
	check(t, err)
	var low []time.Duration
	for n := 1; n < 40; n++ {
		p := s.Pause(n)
		if p < 5*time.Second || p > 90*time.Minute {
			t.Errorf("pause %d is %v", n, p)
		}
		low = append(low, p)
	}
	if slices.Max(low[:2]) > time.Minute || slices.Min(low[20:]) < 30*time.Minute {
		t.Errorf("pauses %v", low)
	}
}
