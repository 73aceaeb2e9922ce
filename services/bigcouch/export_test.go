package bigcouch

import "time"

// SetSchedule says, before Serve, how many replications run at a time, how long
// one runs while others wait, and the pause after a failure.
func (s *Server) SetSchedule(slots int, turn, backoff time.Duration) {
	s.jobs = schedule{slots, turn, backoff}
}
