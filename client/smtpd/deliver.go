package smtpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"leap.example/client/soledad"
)

// maxDeliveries is how many parcels are handed to the relay at once.
const maxDeliveries = 2

// Run delivers what is in the outbox until ctx is done. It returns nil then,
// and an error if the store fails.
func (s *Server) Run(ctx context.Context) error {
	for {
		next, err := s.deliver(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delivering the outbox: %w", err)
		}
		timer := time.NewTimer(max(time.Until(next), 0))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// signal wakes Run.
func (s *Server) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // It is awake already.
	}
}

// deliver makes one attempt for each parcel that is due, and returns when the
// next will be.
func (s *Server) deliver(ctx context.Context) (next time.Time, err error) {
	var all []parcel
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		all, err = parcels(tx)
		return err
	})
	if err != nil {
		return next, err
	}
	now := time.Now()
	next = now.Add(maxPause)
	var wg sync.WaitGroup
	room := make(chan struct{}, cmp.Or(s.testOnlyDeliveries, maxDeliveries))
	results := make([]error, len(all))
	for i, p := range all {
		if p.Next.After(now) {
			next = earlier(next, p.Next)
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			var again time.Time
			again, results[i] = s.attempt(ctx, p)
			all[i].Next = again
		})
	}
	wg.Wait()
	for _, p := range all {
		if !p.Next.IsZero() {
			next = earlier(next, p.Next)
		}
	}
	return next, errors.Join(results...)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// attempt hands a parcel to the relay and notes the outcome. It returns when
// to try again, zero if not.
func (s *Server) attempt(ctx context.Context, p parcel) (again time.Time, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		p.raw, err = tx.LocalGet(contentBucket, p.id)
		return err
	})
	if err != nil {
		return again, err
	}
	err = s.relay.Submit(ctx, p.From, p.To, p.raw)
	if ctx.Err() != nil && err != nil {
		return again, nil // Not the relay's fault; the parcel stays as it is.
	}
	refused, open := outcome(p, err)
	// Whatever the relay said counts, even when the context has just ended.
	return again, s.docs.Update(context.WithoutCancel(ctx), func(tx *soledad.Tx) error {
		if len(open) > 0 && time.Since(p.Created) > maxAge {
			refused = append(refused, open...)
			open = nil
		}
		if len(refused) > 0 {
			if err := s.notify(tx, p, refused); err != nil {
				return err
			}
		}
		if len(open) == 0 {
			return p.remove(tx)
		}
		p.To = nil
		for _, r := range open {
			p.To = append(p.To, r.address)
		}
		p.Attempts++
		p.Next = time.Now().Add(s.pause(p.Attempts))
		again = p.Next
		s.log.Info("the relay did not take a message", "attempts", p.Attempts, "next", p.Next.Format(time.RFC3339))
		return p.save(tx)
	})
}

// A result is what happened for one recipient.
type result struct {
	address string
	err     error
}

// outcome divides the recipients: refused for good, and to be tried again.
// Those in neither have got the message.
func outcome(p parcel, err error) (refused, open []result) {
	if err == nil {
		return nil, nil
	}
	partial, isPartial := errors.AsType[*Partial](err)
	for _, a := range p.To {
		reason := err
		if isPartial {
			if reason = partial.Refused[a]; reason == nil {
				continue
			}
		}
		if r, ok := errors.AsType[*Reply](reason); ok && r.Permanent() {
			refused = append(refused, result{a, reason})
		} else {
			open = append(open, result{a, reason})
		}
	}
	return slices.Clip(refused), open
}
