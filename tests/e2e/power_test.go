package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch/bigcouchtest"
)

// TestPowerCut cuts the power of the database's disk at random moments while
// mail comes to the MX and the relay. Of what the disk had not synced some is
// gone. Everything that was answered 250 is there afterwards: mail for the
// user in the incoming queue, mail for others in the outbound queue, or it was
// delivered before.
func TestPowerCut(t *testing.T) {
	const rounds = 16
	n := newNode(t)
	var p post
	var user *mailbox
	var senders []*sender
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	start := time.Now()
	for round := range rounds {
		n.start()
		if user == nil {
			user = n.mailbox("dora")
			for range 3 {
				senders = append(senders, &sender{post: &p, from: "a@outside.example", to: []string{user.address}})
			}
			for range 3 {
				senders = append(senders, &sender{
					post: &p, from: user.address, to: []string{user.address, "b@outside.example"}, login: n.login(user),
				})
			}
		}
		n.auditMail(&p, user, fmt.Sprintf("round %d", round), false)
		n.startRelay()
		n.disk = n.cut(&p, user, senders, []int{0, 30, 70, 100}[round%4], rng)
	}
	n.start()
	n.startRelay()
	drain(t, n.db.Outbound())
	n.auditMail(&p, user, "at the end", true)
	n.close()
	submitted := p.count(func(l *letter) bool { return l.acked && l.submitted })
	twice := p.count(func(l *letter) bool { return n.world.has(l.id) > 1 })
	mails := p.count(acked) - submitted
	if submitted == 0 || mails == 0 {
		t.Fatal("no mail: it proves nothing")
	}
	t.Logf("%d power cuts: %d mails to the MX, %d to the relay, all there; the world got %d of them more than once; %.1f s",
		rounds, mails, submitted, twice, time.Since(start).Seconds())
}

// cut lets mail come until a random moment, cuts the power, and returns the
// disk as it is then. The node goes on for a moment; nothing of that counts.
func (n *node) cut(p *post, user *mailbox, senders []*sender, percent int, rng *rand.Rand) *bigcouchtest.Disk {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() { s.run(ctx, s.addr(n)) })
	}
	queue := n.db.UserDBs().Open(user.id)
	wg.Go(func() { user.take(ctx, p, queue) })
	time.Sleep(time.Duration(50+rng.IntN(200)) * time.Millisecond) // The random moment.
	p.mu.Lock()
	p.frozen = true
	n.world.set(true)
	disk := n.disk.PowerCut(percent, rng)
	p.mu.Unlock()
	cancel()
	wg.Wait()
	n.close()
	p.mu.Lock()
	p.frozen = false
	p.mu.Unlock()
	n.world.set(false)
	return disk
}

// auditMail checks the letters against the node's queues. At the end, the
// queue of the relay is empty.
func (n *node) auditMail(p *post, user *mailbox, when string, end bool) {
	n.t.Helper()
	copies := user.copies(n.t, n.raw, n.db.UserDBs().Open(user.id))
	p.audit(n.t, when, copies, end)
	queued := map[string]bool{}
	rows, err := n.db.Outbound().Due(n.t.Context(), time.Now().Add(48*time.Hour), 1000)
	if err != nil || len(rows) == 1000 {
		n.t.Fatalf("%s: reading the relay's queue: %d rows, %v", when, len(rows), err)
	}
	for _, r := range rows {
		queued[r.Message] = true
		if m, err := n.db.Outbound().Message(n.t.Context(), r.Message); err != nil || len(m.Sealed) == 0 {
			n.t.Errorf("%s: a row has no message: %v", when, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		if l.acked && l.submitted && !queued[l.queued] && (n.world.has(l.id) == 0 || copies[l.id] == 0) {
			n.t.Errorf("%s: a submitted letter is lost: delivered to the world %d times, to the user %d times, and not queued",
				when, n.world.has(l.id), copies[l.id])
		}
	}
}
