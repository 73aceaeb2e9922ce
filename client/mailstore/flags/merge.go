package flags

import (
	"cmp"
	"maps"
	"slices"
)

// Merge returns the state that has seen what a and b have seen.
func Merge(a, b State) State {
	m := State{
		msg:      mergeBody(a.msg, b.msg),
		clock:    maps.Clone(a.clock),
		present:  mergeDots(a.present, b.present, a.clock, b.clock),
		flags:    map[string][]dot{},
		expunged: max(a.expunged, b.expunged),
	}
	if m.clock == nil {
		m.clock = map[string]uint64{}
	}
	for device, n := range b.clock {
		m.clock[device] = max(m.clock[device], n)
	}
	m.box, m.boxDot = a.box, a.boxDot
	if cmp.Or(compareDots(a.boxDot, b.boxDot), cmp.Compare(a.box, b.box)) < 0 {
		m.box, m.boxDot = b.box, b.boxDot
	}
	for name := range a.flags {
		m.keep(name, mergeDots(a.flags[name], b.flags[name], a.clock, b.clock))
	}
	for name := range b.flags {
		m.keep(name, mergeDots(a.flags[name], b.flags[name], a.clock, b.clock))
	}
	return m
}

func (s State) keep(name string, dots []dot) {
	if len(dots) > 0 {
		s.flags[name] = dots
	}
}

// mergeBody chooses between body ids. Honest states of one message agree; of
// others one is taken, the same in every order.
func mergeBody(a, b string) string {
	if a == "" || b == "" {
		return max(a, b)
	}
	return min(a, b)
}

// mergeDots returns the dots that both sides hold, and those that one side
// holds and the other has not seen.
func mergeDots(a, b []dot, seenA, seenB map[string]uint64) []dot {
	var dots []dot
	for _, d := range a {
		if slices.Contains(b, d) || d.n > seenB[d.device] {
			dots = append(dots, d)
		}
	}
	for _, d := range b {
		if d.n > seenA[d.device] && !slices.Contains(a, d) {
			dots = append(dots, d)
		}
	}
	slices.SortFunc(dots, compareDots)
	return dots
}
