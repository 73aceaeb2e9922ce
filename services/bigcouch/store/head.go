package store

import "encoding/binary"

// A Position is a place in the log of a shard.
type Position struct{ Index, Term uint64 }

// A Head says how far a shard has come: row A. It is replicated like all else
// in the shard, so that state and position are never apart.
type Head struct {
	Position        // Of the latest entry applied.
	Time     int64  // The proposers' clocks, the highest that was seen lately, Unix milliseconds.
	Age      int64  // What time has passed in the log, in milliseconds: that by which answers are kept.
	Epoch    uint64 // Raised when history was cut: what was told of sequences before means nothing any more.
	History  uint64 // Names the log: nodes of different histories do not speak to each other. 0: not named yet.
	Members  []byte // Who holds the shard, as the log that orders it writes it.
	Since    uint64 // Index of the entry that set Members.
	Version  uint64 // Of entries, see EntryVersion.
}

// head returns the head of a shard.
func (s source) head(shard uint16) (h Head, err error) {
	h.Version = firstVersion
	data, err := s.get(place{shard: shard}.key(kindData, tabApplied))
	if err != nil || data == "" {
		return h, err
	}
	r := row{s: data}
	h.Index, h.Time = r.uint(), int64(r.uint())
	h.Age = h.Time // Unless it says otherwise.
	if r.s != "" && r.err == nil {
		h.Term, h.Epoch, h.History, h.Since, h.Members = r.uint(), r.uint(), r.uint(), r.uint(), []byte(r.string())
	}
	if r.s != "" && r.err == nil {
		h.Age = int64(r.uint())
	}
	if r.s != "" && r.err == nil {
		h.Version = r.uint()
	}
	return h, r.err
}

func (h Head) encode() []byte {
	b := binary.AppendUvarint(nil, h.Index)
	b = binary.AppendUvarint(b, uint64(h.Time))
	aged := h.Age != h.Time || h.Version > firstVersion
	if h.Term == 0 && h.Epoch == 0 && !aged {
		return b
	}
	b = binary.AppendUvarint(b, h.Term)
	b = binary.AppendUvarint(b, h.Epoch)
	b = binary.AppendUvarint(b, h.History)
	b = binary.AppendUvarint(b, h.Since)
	b = appendString(b, string(h.Members))
	if !aged {
		return b
	}
	b = binary.AppendUvarint(b, uint64(h.Age))
	if h.Version <= firstVersion {
		return b
	}
	return binary.AppendUvarint(b, h.Version)
}

// How the log grows older. A clock that jumps is worth a minute, and one that
// is ahead of the others stops nothing for more than so many entries.
const (
	maxTick = 60 * 1000
	resync  = 1 << 16
)

// tick takes note of a proposer's clock. What passes between two entries makes
// the log older, and never by more than maxTick: of a silence longer than that,
// and of a clock that is wrong, nobody can tell the one from the other here, and
// answers that somebody may still ask for must outlive both. In version 1 the age
// is the highest clock.
func (h *Head) tick(clock int64) {
	switch d := clock - h.Time; {
	case h.Version == firstVersion:
		h.Age += max(0, d)
		h.Time += max(0, d)
	case d > 0:
		h.Age += min(d, maxTick)
		h.Time = clock
	case h.Index%resync == 0: // A clock that was ahead may have gone, or be right again.
		h.Time = max(0, clock)
	}
}
