package store

import (
	"errors"
	"fmt"
)

// EntryVersion is the highest version of entries that this program reads, and
// knows how to apply.
//
// The version of a shard is part of its replicated state (Head.Version): 1 for
// one that was just founded, raised by an entry of the log, RaiseVersion, which
// is proposed when all members of the shard read it. What applying an entry
// does depends on that version alone, never on the program, so that copies of
// different releases stay the same. An entry says by its first byte which
// version it is of: at least the one that knows all that is in it, and what the
// shard had come to when it was proposed. A program that reads less stops there.
//
//	1  the first
//	2  Head.Age and what it counts; CreateSpread; WriteDocs.Judged and
//	   Doc.Refused, and the number of changes of design documents they look at;
//	   an upload carries the clock of its proposer
//
// Whoever changes what apply does adds a version, and leaves the former ones as
// they are for as long as a release that is updated from may have them.
const EntryVersion = 2

// Versions by what came with them.
const (
	firstVersion  = 1
	judgedVersion = 2 // See EntryVersion.
)

// ErrVersion means that a shard, or an entry of its log, is of a version that
// this program does not know: a later release has written it. Another try cannot
// help.
var ErrVersion = errors.New("written by a later release")

// EntryVersion returns the highest version of entries that the store's user
// reads: that of the program, or less if Options say so.
func (s *Store) EntryVersion() int {
	if s.opts.EntryVersion > 0 {
		return s.opts.EntryVersion
	}
	return EntryVersion
}

// knows refuses a shard of a version that is not known here.
func (s *Store) knows(shard uint16, h Head) error {
	if most := s.EntryVersion(); h.Version > uint64(most) {
		return fmt.Errorf("%w: shard %d has version %d of entries, this program knows %d", ErrVersion, shard, h.Version, most)
	}
	return nil
}

// DecodeEntry is the function of that name for entries up to the version of the
// store.
func (s *Store) DecodeEntry(data []byte) (Entry, error) {
	if most := s.EntryVersion(); len(data) > 0 && int(data[0]) > most {
		return Entry{}, laterEntry(data[0], most)
	}
	return DecodeEntry(data)
}

func laterEntry(version byte, most int) error {
	return fmt.Errorf("%w: %w: version %d, this program knows %d", ErrEntry, ErrVersion, version, most)
}

// VersionOf returns the version of an entry in its form in a log.
func VersionOf(data []byte) int { return int(data[0]) }

// AtVersion returns an entry in its form in a log, of no lower version than that
// of the shard. It leaves data alone.
func AtVersion(data []byte, version uint64) []byte {
	if uint64(data[0]) >= version {
		return data
	}
	return append([]byte{byte(version)}, data[1:]...)
}

// version returns the lowest version that has all that is in e.
func (e Entry) version() byte {
	switch c := e.Cmd.(type) {
	case RaiseVersion:
		return byte(c.Version)
	case CreateSpread:
		return judgedVersion
	case WriteDocs:
		if c.Judged > 0 {
			return judgedVersion
		}
		for i := range c.Docs {
			if c.Docs[i].Refused != nil {
				return judgedVersion
			}
		}
	}
	return firstVersion
}

// RaiseVersion raises the version of the shard's entries, if its members are
// those who were asked whether they know it.
type RaiseVersion struct {
	Version uint64
	Since   uint64 // Head.Since, as it was then. 0 on a node by itself.
}

func (c RaiseVersion) apply(b *Batch) (Result, error) {
	if c.Since == b.head.Since && c.Version > b.head.Version {
		b.head.Version = c.Version
		b.news.all = true // What is remembered depends on it.
	}
	return Result{}, nil
}

// Judged is what WriteDocs.Judged of a write must be that was judged by the
// design documents in this view; 0 as long as the shard's version has none.
func (v *View) Judged(db *Database) (uint64, error) {
	h, err := v.head(db.Shard)
	if err != nil || h.Version < judgedVersion {
		return 0, err
	}
	c, err := v.counters(db.place())
	if err != nil || c == nil {
		return 1, err
	}
	return c.judged(), nil
}

// judged is never 0.
func (c *counters) judged() uint64 { return c.Designs + 1 }
