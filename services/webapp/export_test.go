package webapp

import "time"

// SetReadTimeout makes slow requests testable.
func (s *Server) SetReadTimeout(d time.Duration) { s.read = d }

// SetPoll makes the watch over gateways testable.
func (s *Server) SetPoll(d time.Duration) { s.poll = d }
