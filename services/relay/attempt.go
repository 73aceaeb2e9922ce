package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/smtpline"
	"leap.example/services/relay/bounce"
)

// lateAfter is the attempt after which the sender is told that mail is late:
// by the table about two hours after it was taken.
const lateAfter = 7

// attempt tries once to do what row says, and records what came of it. Until it
// has, the row is due as soon as nobody has leased it: see lease.go.
func (c *courier) attempt(ctx context.Context, row record.OutboundRow, t task) {
	now := time.Now()
	row.Attempts++
	row, err := c.queue.Lease(ctx, row, c.owner, now.Add(leaseTime))
	if err != nil {
		c.log.Debug("leasing a row", "row", row.ID, "err", err)
		return // Another has it, or the database is away.
	}
	next := c.next(row.Attempts, now)
	text, err := c.text(ctx, row)
	if errors.Is(err, problem.NotExist) {
		c.log.Error("a row of the queue has no message", "row", row.ID)
		c.finish(ctx, row, t)
		return
	}
	if err != nil {
		c.log.Error("a message of the queue cannot be read", "row", row.ID, "kind", problem.KindOf(err))
		row.NextAttempt = next
		c.later(ctx, row, t)
		return
	}
	trying, cancel := context.WithTimeout(ctx, c.cfg.attempt)
	var results []result
	row = c.holding(trying, row, func(ctx context.Context) { results = c.deliver(ctx, t, text) })
	cancel()
	row.NextAttempt = next
	if ctx.Err() != nil { // The server stops: whatever was not decided is as before.
		row.Attempts--
		row.NextAttempt = time.Now()
	}
	c.settle(ctx, row, t, text, results)
}

func (c *courier) text(ctx context.Context, row record.OutboundRow) ([]byte, error) {
	msg, err := c.queue.Message(ctx, row.Message)
	if err != nil {
		return nil, err
	}
	return c.vault.open("message", msg.ID, msg.Sealed)
}

// settle records results: first what was taken, then what is reported, then
// what remains.
func (c *courier) settle(ctx context.Context, row record.OutboundRow, t task, text []byte, results []result) {
	var open, dead, late []bounce.Recipient
	over := ctx.Err() == nil && time.Since(row.CreatedAt) >= c.cfg.life
	for i, r := range results {
		to := bounce.Recipient{Address: t.To[i], Status: r.status, Code: r.code, Text: r.text, Remote: r.remote}
		switch {
		case r.code == taken:
			continue
		case r.final() || over:
			dead = append(dead, to)
		default:
			late = append(late, to)
		}
		open = append(open, to)
		row.LastResult = strings.TrimSpace(fmt.Sprintf("%d %s", r.code, r.status))
	}
	c.log.Info("attempt", "id", row.Message, "attempt", row.Attempts, "taken", len(results)-len(open), "refused", len(dead),
		"later", len(late), "result", row.LastResult)
	if len(open) < len(results) {
		if t.To = addresses(open); len(t.To) == 0 {
			c.finish(ctx, row, t)
			return
		}
		var ok bool
		if row, ok = c.save(ctx, row, t); !ok {
			return
		}
	}
	if len(dead) > 0 {
		if c.notify(ctx, row, t, text, dead, time.Time{}) != nil {
			return // The lease ends, and all of this comes again.
		}
		if t.To = addresses(late); len(t.To) == 0 {
			c.finish(ctx, row, t)
			return
		}
	}
	if row.Attempts >= lateAfter && !t.Late && len(late) > 0 {
		if c.notify(ctx, row, t, text, late, row.CreatedAt.Add(c.cfg.life)) != nil {
			return
		}
		t.Late = true
	}
	c.later(ctx, row, t)
}

func addresses(list []bounce.Recipient) []string {
	var all []string
	for _, r := range list {
		all = append(all, r.Address)
	}
	return all
}

// finish removes a row that is done.
func (c *courier) finish(ctx context.Context, row record.OutboundRow, t task) {
	err := c.persist(ctx, func(ctx context.Context) error { return c.queue.Remove(ctx, row) })
	if err != nil {
		c.log.Error("a row that is done was not removed", "row", row.ID, "null_sender", t.From == "", "kind", problem.KindOf(err))
	}
}

// later gives a row back until its next attempt.
func (c *courier) later(ctx context.Context, row record.OutboundRow, t task) {
	row.LeaseOwner, row.LeaseUntil = "", time.Time{}
	c.save(ctx, row, t)
}

// save stores a row with what is left of its task. It reports whether the row
// is still ours.
func (c *courier) save(ctx context.Context, row record.OutboundRow, t task) (record.OutboundRow, bool) {
	err := c.vault.sealTask(&row, t)
	if row.LeaseOwner != "" {
		row.LeaseUntil = time.Now().Add(leaseTime)
	}
	if err == nil {
		err = c.persist(ctx, func(ctx context.Context) error {
			saved, err := c.queue.Save(ctx, row)
			if err == nil {
				row = saved
			}
			return err
		})
	}
	if err != nil {
		c.log.Error("a row was not saved", "row", row.ID, "kind", problem.KindOf(err))
	}
	return row, err == nil
}

// notify tells the sender of recipients who did not get the message: for good,
// or, with a time, not yet. Notifications have names of what they tell: a
// crash does not make a second one as long as the first is in the queue.
func (c *courier) notify(ctx context.Context, row record.OutboundRow, t task, text []byte, to []bounce.Recipient, until time.Time) error {
	sender, err := parseMailbox(t.From)
	if t.From == "" || err != nil || !c.cfg.local(sender.domain) {
		return nil // RFC 5321, 4.5.5: nobody hears of a notification that is lost.
	}
	now := time.Now()
	h, _, err := smtpline.ParseHeader(text)
	if err != nil {
		return err
	}
	p := parcel{id: c.vault.name(append(addresses(to), row.ID, fmt.Sprint(until.IsZero()))...), to: []mailbox{sender}}
	report := bounce.Report{
		ID: p.id, Hostname: c.cfg.Hostname, Domain: c.cfg.Domains[0], To: t.From, At: now.UTC(), Arrived: row.CreatedAt.UTC(),
		Recipients: to, Header: h.AppendWithout(nil, func(smtpline.Field) bool { return false }),
	}
	if !until.IsZero() {
		report.Until = until.UTC()
	}
	if p.text, err = sign(c.dkim, report.Domain, report.Message(), now); err != nil {
		return err
	}
	err = c.persist(ctx, func(ctx context.Context) error { return c.put(ctx, c.vault, p, now) })
	if err != nil {
		c.log.Error("a sender was not notified", "row", row.ID, "kind", problem.KindOf(err))
	}
	return err
}
