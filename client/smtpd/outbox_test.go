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
