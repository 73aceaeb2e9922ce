package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A summary is what all rounds came to.
type summary struct {
	rounds, acknowledged, unknown, lost, broken, differing int
	spread, illegal, rows                                  int
	gaps                                                   []time.Duration // Without an acknowledgement, after a leader's death.
	detected, harmless                                     int             // Of nodes with flipped bits.
}

func (s *summary) add(r *round) {
	s.rounds++
	if r.parts > 1 {
		s.spread++
	}
	s.illegal += r.illegal
	s.acknowledged += r.acknowledged
	s.unknown += r.unknown
	s.lost += r.lost
	s.rows += r.rows
	if r.broken {
		s.broken++
	}
	if r.differ {
		s.differing++
	}
	if r.gap > 0 {
		s.gaps = append(s.gaps, r.gap)
	}
	s.detected += r.detected
	s.harmless += r.harmless
}

// text is the summary as one line.
func (s *summary) text() string {
	parts := []string{
		fmt.Sprintf("%d rounds", s.rounds),
		fmt.Sprintf("%d with databases in parts", s.spread),
		fmt.Sprintf("%d acknowledged writes", s.acknowledged),
		fmt.Sprintf("lost %d", s.lost),
	}
	if len(s.gaps) > 0 {
		slices.Sort(s.gaps)
		parts = append(parts,
			fmt.Sprintf("max write gap after a leader's death %.1fs", s.gaps[len(s.gaps)-1].Seconds()),
			fmt.Sprintf("median %.1fs of %d", s.gaps[len(s.gaps)/2].Seconds(), len(s.gaps)))
	}
	parts = append(parts,
		fmt.Sprintf("%d unknown outcomes", s.unknown),
		fmt.Sprintf("%d refused by design documents", s.illegal),
		fmt.Sprintf("histories not linearizable %d", s.broken),
		fmt.Sprintf("digest differences %d", s.differing),
		fmt.Sprintf("nodes with a flipped bit that noticed %d, in dead bytes %d", s.detected, s.harmless),
		fmt.Sprintf("%d feed rows", s.rows))
	return "couch-faults: " + strings.Join(parts, ", ")
}
