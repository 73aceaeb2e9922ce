package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// maxFindings bounds how many findings a report describes. The others are
// counted.
const maxFindings = 1000

// A Finding is one thing that is not as this program writes it.
type Finding struct {
	Shard    uint16 `json:"shard"`
	Database string `json:"database,omitempty"` // Name, or number if it has none.
	Document string `json:"document,omitempty"`
	What     string `json:"what"`
}

func (f Finding) String() string {
	s := fmt.Sprintf("shard %d", f.Shard)
	if f.Database != "" {
		s += ", database " + f.Database
	}
	if f.Document != "" {
		s += fmt.Sprintf(", document %q", f.Document)
	}
	return s + ": " + f.What
}

// A Report says what Verify has seen.
type Report struct {
	Shards      int `json:"shards"`
	Databases   int `json:"databases"`
	Documents   int `json:"documents"` // Tombstones too.
	Leaves      int `json:"leaves"`
	Attachments int `json:"attachments"` // Different ones.
	Rows        int `json:"rows"`

	Findings []Finding `json:"findings"`
	More     int       `json:"more,omitempty"` // Findings that are not listed.

	// Notes are what would be findings on a node by itself, and is none where
	// shards come from different moments: on a node of a cluster.
	Notes []Finding `json:"notes,omitempty"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Verify reads all that is stored and checks that it fits together: checksums
// of Pebble, every row by itself, and what rows say of each other. It takes
// memory for the attachments of one database and for the names of all. progress
// is called now and then with the number of rows that were read; it may be nil.
// An error means that it could not go on.
func (s *Store) Verify(ctx context.Context, progress func(rows int)) (*Report, error) {
	view := s.View()
	v := &verifier{source: view.source, ctx: ctx, r: &Report{Findings: []Finding{}}, cache: &s.indexed, progress: progress, names: map[place]string{}}
	if damage := s.Damage(); damage != nil {
		v.find(Finding{What: damage.Error()})
	}
	v.levels(s.db)
	shards := v.shards()
	v.catalogue()
	for _, n := range shards {
		v.shard(n)
	}
	v.absent()
	v.others()
	return v.r, errors.Join(v.err, view.Close())
}

// A verifier is one run of Verify.
type verifier struct {
	source
	ctx      context.Context
	r        *Report
	cache    *indexCache
	progress func(int)
	err      error // It cannot go on.

	names map[place]string // Of live databases, that were not seen in their shard yet.
	heads map[uint16]Head
}

func (v *verifier) find(f Finding) {
	f.What, _, _ = strings.Cut(f.What, "\n") // Pebble's errors have a second line for itself.
	if len(v.r.Findings) >= maxFindings {
		v.r.More++
		return
	}
	v.r.Findings = append(v.r.Findings, f)
}

// doubt is find for what depends on shards being of one moment.
func (v *verifier) doubt(f Finding) {
	if len(v.heads[CatalogueShard].Members) == 0 {
		v.find(f)
	} else if len(v.r.Notes) < maxFindings {
		v.r.Notes = append(v.r.Notes, f)
	}
}

// walk calls f for the rows of a range. What of it cannot be read is a finding.
func (v *verifier) walk(start, end []byte, where Finding, f func(key, value []byte)) {
	if v.err != nil {
		return
	}
	err := v.each(start, end, func(key, value []byte) (bool, error) {
		v.r.Rows++
		if v.r.Rows%4096 == 0 {
			if v.progress != nil {
				v.progress(v.r.Rows)
			}
			if v.err = v.ctx.Err(); v.err != nil {
				return false, nil
			}
		}
		f(key, value)
		return true, nil
	})
	if err != nil {
		where.What = fmt.Sprintf("rows from %x to %x cannot be read: %v", start, end, err)
		v.find(where)
	}
}

// levels has Pebble check the order of its own files.
func (v *verifier) levels(db *pebble.DB) {
	if err := db.CheckLevels(nil); err != nil {
		v.find(Finding{What: fmt.Sprintf("files of the store: %v", err)})
	}
}

// catalogue reads the names of databases.
func (v *verifier) catalogue() {
	start := catalogueKey("")
	v.walk(start, after(start), Finding{}, func(key, value []byte) {
		d, err := parseDatabase(string(key[len(start):]), value)
		if err != nil || d.ID == 0 {
			v.find(Finding{Database: string(key[len(start):]), What: "malformed row of the catalogue"})
			return
		}
		v.r.Databases++
		for _, shard := range d.Places() {
			p := place{shard, d.ID}
			if other := v.names[p]; other != "" {
				v.find(Finding{Database: d.Name, What: "the catalogue gives it the number of " + other})
			}
			v.names[p] = d.Name
			if d.State != Live { // It may or may not be in its shard.
				delete(v.names, p)
			}
		}
	})
}

// shards reads the heads of all shards and returns their numbers.
func (v *verifier) shards() []uint16 {
	v.heads = map[uint16]Head{}
	list, err := v.source.shards()
	if err != nil {
		v.find(Finding{What: fmt.Sprintf("shards cannot be listed: %v", err)})
	}
	for _, n := range list {
		h, err := v.head(n)
		if err != nil {
			v.find(Finding{Shard: n, What: "its position cannot be read: " + err.Error()})
		}
		v.heads[n] = h
	}
	v.r.Shards = len(list)
	return list
}

// next returns the first key of a range, nil if there is none.
func (v *verifier) next(start, end []byte) (found []byte) {
	err := v.each(start, end, func(key, _ []byte) (bool, error) {
		found = slices.Clone(key)
		return false, nil
	})
	if err != nil {
		v.find(Finding{What: fmt.Sprintf("what follows %x cannot be read: %v", start, err)})
	}
	return found
}

// tables are those of a database, in their order.
var tables = []byte{tabBody, tabCounters, tabDoc, tabPurge, tabLocal, tabSeq, tabChunk, tabDigest, tabIndexes}

func (v *verifier) shard(n uint16) {
	v.global(n)
	_, end := shardSpan(kindData, n)
	for start := (place{n, 1}).key(kindData, 0)[:11]; v.err == nil; {
		key := v.next(start, end)
		if key == nil {
			return
		}
		if len(key) < 12 {
			v.find(Finding{Shard: n, What: fmt.Sprintf("row %x is of nothing that there is", key)})
			start = append(key, 0)
			continue
		}
		p := place{n, binary.BigEndian.Uint64(key[3:])}
		v.database(p)
		_, start = p.span(kindData)
	}
}

// global checks the rows of a shard that are of no database.
func (v *verifier) global(n uint16) {
	where := Finding{Shard: n}
	ops, expiries := 0, 0
	start, end := place{shard: n}.span(kindData)
	v.walk(start, end, where, func(key, value []byte) {
		if len(key) < 12 {
			where.What = fmt.Sprintf("row %x is of nothing that there is", key)
			v.find(where)
			return
		}
		rest := key[12:]
		wrong := ""
		switch key[11] {
		case tabApplied:
		case tabCatalogue:
			if n != CatalogueShard {
				wrong = "a row of the catalogue"
			}
		case tabOp:
			ops++
			var r Result
			if len(rest) != len(OpID{}) || json.Unmarshal(value, &r) != nil {
				wrong = "malformed answer of an operation"
			}
		case tabOpExpiry:
			expiries++
			if len(rest) != 8+len(OpID{}) {
				wrong = "malformed expiry of an operation"
			} else if known, err := v.get(place{shard: n}.key(kindData, tabOp, rest[8:])); err != nil || known == "" {
				wrong = "the expiry of an operation that is not there"
			}
		case tabUpload:
			r := row{s: string(value)}
			if r.uint(); len(rest) != 8+len(BlobID{}) || r.err != nil {
				wrong = "malformed upload"
			}
		default:
			wrong = fmt.Sprintf("row %x is of no table", key)
		}
		if wrong != "" {
			v.find(Finding{Shard: n, What: wrong})
		}
	})
	if ops != expiries && v.err == nil {
		where.What = fmt.Sprintf("%d answers of operations, and %d expiries", ops, expiries)
		v.find(where)
	}
}

// absent reports databases of the catalogue that are not in their shards.
func (v *verifier) absent() {
	for p, name := range v.names {
		if _, here := v.heads[p.shard]; here && v.err == nil {
			v.doubt(Finding{Shard: p.shard, Database: name, What: "it is in the catalogue, and not in its shard"})
		}
	}
}

// others reads the rows that are not replicated, for their checksums and for
// gaps in logs.
func (v *verifier) others() {
	for _, kind := range []byte{kindDigest, kindView, kindNode, kindStable} {
		v.walk([]byte{kind}, []byte{kind + 1}, Finding{}, func([]byte, []byte) {})
	}
	var last []byte
	v.walk([]byte{kindLog}, []byte{kindLog + 1}, Finding{}, func(key, _ []byte) {
		if len(last) == 11 && len(key) == 11 && string(last[:3]) == string(key[:3]) {
			if from, to := binary.BigEndian.Uint64(last[3:]), binary.BigEndian.Uint64(key[3:]); to != from+1 {
				v.find(Finding{Shard: binary.BigEndian.Uint16(key[1:]), What: fmt.Sprintf("its log has nothing between %d and %d", from, to)})
			}
		}
		last = slices.Clone(key)
	})
}
