package clock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Errors of a round of questions, wrapped with details.
var (
	ErrSilent     = errors.New("no time server answers")
	ErrDisagree   = errors.New("the time servers disagree")
	ErrImpossible = errors.New("the time is impossible")
)

// A sample is one server's answer.
type sample struct {
	server string
	offset time.Duration // To add to the clock.
	within time.Duration // How wrong that may be.
}

// leastWithin is how far good servers may be apart: ways there and back differ.
const leastWithin = 50 * time.Millisecond

// agree finds the offset in which more than half of the servers agree: the one
// of the most exact among them (after Marzullo, 1984).
func agree(samples []sample) (time.Duration, error) {
	if len(samples) == 0 {
		return 0, ErrSilent
	}
	var best []sample
	for _, edge := range samples {
		// Where most intervals overlap, one of them begins.
		at := edge.offset - edge.within
		var there []sample
		for _, s := range samples {
			if s.offset-s.within <= at && at <= s.offset+s.within {
				there = append(there, s)
			}
		}
		if len(there) > len(best) {
			best = there
		}
	}
	if 2*len(best) <= len(samples) {
		said := make([]string, 0, len(samples))
		for _, s := range samples {
			said = append(said, fmt.Sprintf("%s %v±%v", s.server, s.offset.Round(time.Millisecond), s.within.Round(time.Millisecond)))
		}
		return 0, fmt.Errorf("%w: %s", ErrDisagree, strings.Join(said, ", "))
	}
	exact := slices.MinFunc(best, func(a, b sample) int { return cmp.Compare(a.within, b.within) })
	return exact.offset, nil
}

// lifetime is how long after it was built a release may run.
const lifetime = 20 * 365 * 24 * time.Hour

// possible refuses times at which a release cannot be running.
func possible(t, built time.Time) error {
	if t.Before(built) || t.After(built.Add(lifetime)) {
		return fmt.Errorf("%w: %s; this release was built at %s", ErrImpossible, t.UTC().Format(time.RFC3339), built.UTC().Format(time.RFC3339))
	}
	return nil
}
