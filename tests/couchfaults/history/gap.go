package history

import (
	"slices"
	"time"
)

// gap returns the longest time between two of acks that overlaps the span.
func gap(acks []time.Duration, from, until time.Duration) time.Duration {
	slices.Sort(acks)
	longest, last := time.Duration(0), from
	for _, at := range acks {
		if at < from {
			continue
		}
		longest = max(longest, at-last)
		if last = at; at > until {
			return longest
		}
	}
	return max(longest, until-last)
}
