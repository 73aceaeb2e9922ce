package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/relay/route"
)

const (
	// look is how many due rows are read at once.
	look = 500
	// pause is the least time between two looks into the queue.
	pause = 50 * time.Millisecond
	// settling bounds one write to the queue.
	settling = 5 * time.Second
)

// A courier delivers what is in the queue.
type courier struct {
	*Server

	vault   *vault
	dkim    []dkimKey
	routes  *route.Finder
	hops    hops
	owner   string // Of leases: this run of this process.
	wake    chan struct{}
	workers sync.WaitGroup

	mu   sync.Mutex // Guards what follows.
	busy map[string]int
	all  int
	held map[string]bool // Rows under way here, whatever became of their leases.
}

// kick makes the courier look into the queue soon.
func (c *courier) kick() {
	select {
	case c.wake <- struct{}{}:
	default: // It will.
	}
}

// run delivers until ctx is done; attempts under way then have until work is.
func (c *courier) run(ctx, work context.Context) {
	c.workers.Go(func() { c.watch(ctx) })
	timer := time.NewTicker(c.cfg.poll)
	defer timer.Stop()
	for ctx.Err() == nil {
		c.round(ctx, work)
		sleep(ctx, pause)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	c.workers.Wait()
}

// watch wakes the courier when another process has added rows.
func (c *courier) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if c.queue.Wait(ctx) != nil {
			sleep(ctx, c.cfg.poll)
		}
		c.kick()
		sleep(ctx, pause)
	}
}

// round starts an attempt for each row that is due, as far as there are
// workers.
func (c *courier) round(ctx, work context.Context) {
	if c.full() {
		return // The end of an attempt is the next occasion.
	}
	now := time.Now()
	rows, err := c.queue.Due(ctx, now, look)
	if err != nil {
		c.log.Debug("reading the queue", "err", err)
		return
	}
	for _, row := range rows {
		t, err := c.vault.openTask(row)
		if err != nil {
			c.unreadable(ctx, row, err)
			continue
		}
		if row.NextAttempt.After(now) || row.LeaseUntil.After(now) || !c.start(row.ID, t.Domain) {
			continue
		}
		c.workers.Go(func() {
			c.attempt(work, row, t)
			c.end(row.ID, t.Domain)
		})
	}
}

// start takes a worker for a row that goes to a domain. No domain gets more than a half of them:
// a slow one must not keep the others waiting.
func (c *courier) start(row, domain string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[row] || c.all >= c.cfg.Workers || c.busy[domain] >= (c.cfg.Workers+1)/2 {
		return false
	}
	c.all++
	c.busy[domain]++
	c.held[row] = true
	return true
}

func (c *courier) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all >= c.cfg.Workers
}

func (c *courier) end(row, domain string) {
	c.mu.Lock()
	c.all--
	delete(c.held, row)
	if c.busy[domain]--; c.busy[domain] == 0 {
		delete(c.busy, domain)
	}
	c.mu.Unlock()
	c.kick() // There may be rows that found no worker.
}

// unreadable puts a row off that is sealed with another key, until an operator
// brings the key back. It is not removed: it may be somebody's mail.
func (c *courier) unreadable(ctx context.Context, row record.OutboundRow, err error) {
	c.log.Error("a row of the queue cannot be opened", "row", row.ID, "err", err)
	row.NextAttempt = time.Now().Add(c.cfg.retry[len(c.cfg.retry)-1])
	if _, err := c.queue.Save(ctx, row); err != nil {
		c.log.Debug("putting a row off", "row", row.ID, "err", err)
	}
}

// next returns the time of the attempt after so many.
func (c *courier) next(attempts int, now time.Time) time.Time {
	d := c.cfg.retry[min(attempts, len(c.cfg.retry))-1]
	return now.Add(d + time.Duration((rand.Float64()-0.5)/5*float64(d)))
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// persist repeats a write until it succeeds: for what must not be forgotten. It
// gives up when another has the row, or has removed it, and when the server
// stops, after one more try.
func (c *courier) persist(ctx context.Context, write func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
		err := write(once)
		cancel()
		if err == nil || errors.Is(err, problem.Stale) || errors.Is(err, problem.NotExist) || ctx.Err() != nil {
			return err
		}
		c.log.Debug("writing to the queue", "err", err)
		sleep(ctx, wait)
	}
}
