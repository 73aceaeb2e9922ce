package webapp

import "time"

// SetReadTimeout makes slow requests testable.
func (s *Server) SetReadTimeout(d time.Duration) { s.read = d }
