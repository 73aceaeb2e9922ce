package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// A lease is short, so that the rows of a process that died are due again soon,
// and is renewed as long as the attempt runs.
const (
	leaseTime  = time.Minute
	leaseRenew = leaseTime / 3
)

// holding runs f and renews the lease of row meanwhile; it returns the row as
// it is then. The context of f ends when another has the row, or may have it.
func (c *courier) holding(ctx context.Context, row record.OutboundRow, f func(context.Context)) record.OutboundRow {
	ctx, lose := context.WithCancel(ctx)
	defer lose()
	done, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		for sleep(done, leaseRenew); done.Err() == nil; sleep(done, leaseRenew) {
			var ok bool
			if row, ok = c.renew(done, row); !ok {
				lose()
				return
			}
		}
	})
	f(ctx)
	end()
	wg.Wait()
	return row
}

// renew makes a lease last again. ok is false when it is lost. A write that is
// under way when the attempt ends is finished: the row's Rev must be known.
func (c *courier) renew(ctx context.Context, row record.OutboundRow) (_ record.OutboundRow, ok bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	now := time.Now()
	renewed, err := c.queue.Lease(ctx, row, c.owner, now.Add(leaseTime))
	if err == nil {
		return renewed, true
	}
	c.log.Debug("renewing a lease", "row", row.ID, "err", err)
	// A renewal that failed may have been done all the same.
	have, err := c.queue.Row(ctx, row.ID)
	switch {
	case err == nil && have.LeaseOwner == c.owner:
		return have, now.Before(have.LeaseUntil)
	case err == nil || errors.Is(err, problem.NotExist):
		return row, false
	}
	return row, now.Before(row.LeaseUntil)
}
