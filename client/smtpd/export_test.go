package smtpd

import "time"

// SetPause replaces the pause between attempts.
func (s *Server) SetPause(f func(attempts int) time.Duration) { s.testOnlyPause = f }

// Pause returns the pause after so many attempts.
func (s *Server) Pause(attempts int) time.Duration { return s.pause(attempts) }

// SetDeliveries sets how many parcels are handed to the relay at once.
func (s *Server) SetDeliveries(n int) { s.testOnlyDeliveries = n }
