package flags

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A dot names one change: the n-th, in Lamport order, of a device.
type dot struct {
	n      uint64
	device string
}

func compareDots(a, b dot) int {
	return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.device, b.device))
}

// A State is the state of one message on one device. It is a value: methods
// that change it return the new one and leave the old one alone. The zero
// State is a message that is not there.
type State struct {
	msg      string            // Id of the body, never changed.
	clock    map[string]uint64 // The newest dot seen of each device.
	present  []dot
	box      string // Id of the mailbox.
	boxDot   dot
	flags    map[string][]dot
	expunged int64 // Unix time of the latest expunge, 0: never.
}

// New returns the state of a message that a device has just put into a
// mailbox. body, device and box are ids; flags are in any case.
func New(device, body, box string, flags []string) State {
	s := State{msg: body, clock: map[string]uint64{}, flags: map[string][]dot{}}
	d := s.next(device)
	s.present, s.box, s.boxDot = []dot{d}, box, d
	for _, f := range flags {
		s.flags[s.name(f)] = []dot{d}
	}
	return s
}

// Body returns the id of the message's body.
func (s State) Body() string { return s.msg }

// Mailbox returns the id of the mailbox that the message is in, or was.
func (s State) Mailbox() string { return s.box }

// Present reports whether the message is there. If not, it was expunged.
func (s State) Present() bool { return len(s.present) > 0 }

// Expunged returns the Unix time of the latest expunge, 0 if there was none. A
// message that survived one is present all the same.
func (s State) Expunged() int64 { return s.expunged }

// Flags returns the flags in their canonical case, sorted, without
// duplicates.
func (s State) Flags() []string {
	names := slices.Sorted(maps.Keys(s.flags))
	return slices.CompactFunc(names, strings.EqualFold)
}

// Has reports whether the flag, in any case, is set.
func (s State) Has(flag string) bool {
	_, ok := s.flags[s.name(flag)]
	return ok
}

// Set returns s after a device has added and removed flags. What is in both is
// added. Nothing changes, and no dot is spent, if the flags are so already.
func (s State) Set(device string, add, remove []string) State {
	t := s.clone()
	changed := false
	for _, f := range remove {
		for name := range t.flags {
			if strings.EqualFold(name, f) && !containsFold(add, f) {
				delete(t.flags, name)
				changed = true
			}
		}
	}
	var missing []string
	for _, f := range add {
		if !t.Has(f) && !containsFold(missing, f) {
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 && !changed {
		return s
	}
	d := t.next(device)
	for _, f := range missing {
		t.flags[t.name(f)] = []dot{d}
	}
	return t
}

// Move returns s after a device has moved the message to another mailbox. It
// survives an expunge that has not seen the move.
func (s State) Move(device, box string) State {
	t := s.Discard(device, box)
	t.present = []dot{t.boxDot} // Takes the place of those it has seen.
	return t
}

// Discard returns s after a device has moved the message into a mailbox from
// which messages are expected to go, the trash. A concurrent expunge wins.
func (s State) Discard(device, box string) State {
	t := s.clone()
	t.box, t.boxDot = box, t.next(device)
	return t
}

// Expunge returns s after a device has removed the message, at the given Unix
// time.
func (s State) Expunge(device string, at int64) State {
	t := s.clone()
	t.next(device)
	delete(t.flags, Deleted)
	t.present = nil
	t.expunged = max(t.expunged, at)
	return t
}

// next spends the next dot of a device.
func (s *State) next(device string) dot {
	var n uint64
	for _, seen := range s.clock {
		n = max(n, seen)
	}
	s.clock[device] = n + 1
	return dot{n + 1, device}
}

// name returns how the flag is written in s: the canonical case, or that of
// the equal flag that is set.
func (s State) name(flag string) string {
	flag = Canonical(flag)
	if _, ok := s.flags[flag]; ok {
		return flag
	}
	for _, name := range slices.Sorted(maps.Keys(s.flags)) {
		if strings.EqualFold(name, flag) {
			return name
		}
	}
	return flag
}

func (s State) clone() State {
	s.clock, s.flags = maps.Clone(s.clock), maps.Clone(s.flags) // Slices of dots are never changed in place.
	if s.clock == nil {
		s.clock = map[string]uint64{}
	}
	if s.flags == nil {
		s.flags = map[string][]dot{}
	}
	return s
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.EqualFold(e, s) })
}
