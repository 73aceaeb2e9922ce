package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/tests/e2e/process"
)

// TestKillUnderLoad kills a provider at random moments while programs write to
// its database, send mail to its MX and its relay, and take mail from a queue.
// After each restart everything is as their programs were told, and every
// letter is there once.
func TestKillUnderLoad(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 3
	}
	p := leapd.New(t)
	w := newLoad(t, p)
	start := time.Now()
	var down time.Duration
	for round := range rounds {
		w.run(t, time.Duration(100+rand.IntN(600))*time.Millisecond)
		if round%3 == 2 { // Also while it recovers.
			p.Flicker(t, time.Duration(rand.IntN(200))*time.Millisecond)
		}
		killed := time.Now()
		p.Start(t)
		down += time.Since(killed)
		w.audit(t, fmt.Sprintf("round %d", round), false)
	}
	w.finish(t)
	w.audit(t, "at the end", true)
	writes := 0
	for _, s := range w.shelves {
		writes += s.acked
	}
	submitted := w.post.count(func(l *letter) bool { return l.acked && l.submitted })
	taken := w.post.count(func(l *letter) bool { return l.taken })
	mails := w.post.count(acked) - submitted
	if writes == 0 || mails == 0 || submitted == 0 || taken == 0 {
		t.Fatal("the load did nothing: it proves nothing")
	}
	t.Logf("%d kills: %d writes, %d mails to the MX, %d to the relay, %d taken by a device, all as acknowledged; %.1f s, a restart takes %.2f s",
		rounds, writes, mails, submitted, taken, time.Since(start).Seconds(), down.Seconds()/float64(rounds))
}

// A load is what programs do with a provider.
type load struct {
	provider *process.Provider
	raw      *process.Database
	db       *couch.DB
	post     post
	shelves  []*shelf
	senders  []*sender
	user     *mailbox
}

// newLoad prepares the load of a provider.
func newLoad(t *testing.T, p *process.Provider) *load {
	t.Helper()
	w := &load{provider: p, raw: process.OpenDatabase(t, p.At.Couch, p.At.CouchPasswordFile)}
	w.db = openCouch(t, p.At.Couch, "admin", p.At.CouchPasswordFile, quiet)
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	if status, err := w.raw.Do(t.Context(), "PUT", "/load", nil, nil); err != nil || status != 201 {
		t.Fatalf("creating a database: %d, %v", status, err)
	}
	w.user = newMailbox(t, w.db, "crash@"+p.At.Domain, filepath.Join(p.Dir, "mx", "signing.pub"))
	for i := range 4 {
		w.shelves = append(w.shelves, &shelf{name: fmt.Sprint("shelf", i)})
	}
	for range 3 {
		w.senders = append(w.senders, &sender{post: &w.post, from: "a@outside.example", to: []string{w.user.address}})
	}
	tls := process.TLS(t, p.At.CAFile)
	tls.ServerName = "smtp." + p.At.Domain
	w.senders = append(w.senders, &sender{
		post: &w.post, from: w.user.address, to: []string{w.user.address}, login: &login{tls, w.user.address, w.user.token},
	})
	return w
}

// addr returns where a sender sends to.
func (w *load) addr(s *sender) string {
	if s.login != nil {
		return w.provider.At.Submissions
	}
	return w.provider.At.MX
}

// run runs the load for so long, and then kills the provider.
func (w *load) run(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range w.shelves {
		wg.Go(func() { s.run(ctx, t, w.raw) })
	}
	for _, s := range w.senders {
		wg.Go(func() { s.run(ctx, w.addr(s)) })
	}
	queue := w.db.UserDBs().Open(w.user.id)
	wg.Go(func() { w.user.take(ctx, &w.post, queue) })
	time.Sleep(d) // The random moment.
	w.provider.Kill()
	cancel()
	wg.Wait()
}

// audit reads everything back.
func (w *load) audit(t *testing.T, when string, end bool) {
	t.Helper()
	stored := documents(t, w.raw)
	for _, s := range w.shelves {
		s.audit(t, when, stored)
	}
	w.post.audit(t, when, w.user.copies(t, w.raw, w.db.UserDBs().Open(w.user.id)), end)
}

// finish sends what is pending and waits until the relay has delivered all.
func (w *load) finish(t *testing.T) {
	t.Helper()
	for _, s := range w.senders {
		until(t, "sending the last letter", time.Minute, func() error {
			if s.pending == nil {
				return nil
			}
			return s.send(t.Context(), w.addr(s))
		})
	}
	drain(t, w.db.Outbound())
}

// drain waits until the relay has delivered everything. Rows that a relay had
// leased when it died, or put off, become due at once: that is what time does.
func drain(t *testing.T, queue *couch.Outbound) {
	t.Helper()
	var hurried time.Time
	until(t, "the relay's queue is empty", time.Minute, func() error {
		rows, err := queue.Due(t.Context(), time.Now().Add(48*time.Hour), 1000)
		if err != nil || len(rows) == 0 {
			return err
		}
		if time.Since(hurried) > 5*time.Second { // Not too often: it takes the rows from the relay.
			hurried = time.Now()
			for _, row := range rows {
				row.LeaseOwner, row.LeaseUntil, row.NextAttempt = "", time.Time{}, time.Now()
				if _, err := queue.Save(t.Context(), row); err != nil && !errors.Is(err, problem.Stale) {
					return err
				}
			}
		}
		return fmt.Errorf("%d rows are left", len(rows))
	})
}
