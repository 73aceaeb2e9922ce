package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// code returns the SMTP code of an error.
func code(err error) int {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return e.Code
	}
	return 0
}

// TestDatabaseDown stops the database while mail comes. The MX and the relay
// ask the senders to come again, and when they do and the database is back,
// each letter is there once.
func TestDatabaseDown(t *testing.T) {
	n := newNode(t)
	n.start()
	n.startRelay()
	defer n.close()
	var p post
	user := n.mailbox("dora")
	ctx := t.Context()
	known := &sender{post: &p, from: "a@outside.example", to: []string{user.address}}
	submitting := &sender{post: &p, from: user.address, to: []string{user.address, "b@outside.example"}, login: n.login(user)}
	if err := errors.Join(known.send(ctx, n.mx), submitting.send(ctx, n.submit)); err != nil {
		t.Fatalf("with a database: %v", err)
	}

	n.stopDB()
	for _, tt := range []struct {
		name string
		s    *sender
		addr string
		want int
	}{
		{"to a user that the MX knows", known, n.mx, 451},
		{"to a user that the MX does not know", &sender{post: &p, from: "a@outside.example", to: []string{"x-" + user.address}}, n.mx, 451},
		{"to the relay", submitting, n.submit, 454}, // Who submits is not known.
	} {
		start := time.Now()
		if err := tt.s.send(ctx, tt.addr); code(err) != tt.want {
			t.Errorf("%s, without a database: %v, want %d", tt.name, err, tt.want)
		}
		if d := time.Since(start); d > 15*time.Second {
			t.Errorf("%s: the answer took %v", tt.name, d)
		}
	}
	n.startDB()
	for _, s := range []*sender{known, submitting} {
		until(t, "the letter is taken when the database is back", 30*time.Second, func() error { return s.send(ctx, s.addr(n)) })
	}

	// The same, again and again, with many senders at once.
	senders := []*sender{known, submitting}
	for range 3 {
		senders = append(senders, &sender{post: &p, from: "a@outside.example", to: []string{user.address}})
	}
	flap(t, n, senders)
	drain(t, n.db.Outbound())
	p.mu.Lock()
	p.letters = slices.DeleteFunc(p.letters, func(l *letter) bool { return !l.acked })
	p.mu.Unlock()
	n.auditMail(&p, user, "at the end", true)
	t.Logf("%d letters, %d of them to the relay", p.count(acked), p.count(func(l *letter) bool { return l.submitted }))
}

// flap stops and starts the database while mail comes, and waits until no
// letter is pending.
func flap(t *testing.T, n *node, senders []*sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() { s.run(ctx, s.addr(n)) })
	}
	for range 5 {
		pause(ctx, time.Duration(50+rand.IntN(150))*time.Millisecond)
		n.stopDB()
		pause(ctx, time.Duration(rand.IntN(300))*time.Millisecond)
		n.startDB()
	}
	cancel()
	wg.Wait()
	for _, s := range senders {
		until(t, "the last letter is taken", 30*time.Second, func() error {
			if s.pending == nil {
				return nil
			}
			return s.send(t.Context(), s.addr(n))
		})
	}
}

// addr returns where s sends to.
func (s *sender) addr(n *node) string {
	if s.login != nil {
		return n.submit
	}
	return n.mx
}
