package gateway

import (
	"context"
	"time"
)

// SetClock makes leases and certificates end by another clock.
func (s *Server) SetClock(now func() time.Time) { s.now = now }

// Compare does what the server does every 15 s.
func (s *Server) Compare(ctx context.Context) error { return s.tick(ctx, true) }
