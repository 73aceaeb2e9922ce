package smtpd

import (
	"context"
	"fmt"
	"time"

	"leap.example/client/soledad"
)

// Waiting returns the number of messages in the outbox.
func (s *Server) Waiting(ctx context.Context) (n int, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		all, err := parcels(tx)
		n = len(all)
		return err
	})
	return n, err
}

// Online has everything in the outbox tried now: there is a network again.
func (s *Server) Online(ctx context.Context) error {
	err := s.docs.Update(ctx, func(tx *soledad.Tx) error {
		all, err := parcels(tx)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, p := range all {
			if p.Next.Before(now) {
				continue
			}
			p.Next = now
			if err := p.save(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("waking the outbox: %w", err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}
