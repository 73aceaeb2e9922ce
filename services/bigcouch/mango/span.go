package mango

import (
	"bytes"
	"slices"
)

// A span is what a selector says of one field: the encodings of its values lie
// in [low, high). nil is no bound.
type span struct {
	low, high []byte
	eq        bool // One value.
}

// behind returns the first bytes behind everything that begins with an
// encoding (package order: nothing that follows one begins with 0xff).
func behind(key []byte) []byte { return append(bytes.Clone(key), 0xff) }

// spanOf collects the comparisons of the field that must all hold.
func spanOf(e expr, name string) span {
	var s span
	s.collect(e, name)
	return s
}

func (s *span) collect(e expr, name string) {
	switch e := e.(type) {
	case all:
		for _, sub := range e {
			s.collect(sub, name)
		}
	case at:
		if e.field.name == name {
			s.narrow(e.test)
		}
	}
}

func (s *span) narrow(t test) {
	if t.raw && t.op != "$eq" {
		return // Rows stand in another order than the ids.
	}
	switch t.op {
	case "$eq":
		s.eq = true
		s.from(t.key)
		s.to(behind(t.key))
	case "$gte":
		s.from(t.key)
	case "$gt":
		s.from(behind(t.key))
	case "$lt":
		s.to(t.key)
	case "$lte":
		s.to(behind(t.key))
	}
}

func (s *span) from(low []byte) {
	if bytes.Compare(low, s.low) > 0 {
		s.low = low
	}
}

func (s *span) to(high []byte) {
	if s.high == nil || bytes.Compare(high, s.high) < 0 {
		s.high = high
	}
}

func (s *span) empty() bool { return s.high != nil && bytes.Compare(s.low, s.high) >= 0 }

// on returns the bounds of the rows whose key begins with prefix and goes on
// within s.
func (s *span) on(prefix []byte) (start, end []byte) {
	prefix = slices.Clip(prefix)
	start, end = append(prefix, s.low...), append(prefix, s.high...)
	switch {
	case s.empty():
		end = start
	case s.high == nil:
		end = append(prefix, 0xff)
	}
	if len(start) == 0 && !s.empty() {
		start = nil
	}
	return start, end
}

// idRange returns the bounds of the ids that sel allows. Ids are strings,
// compared by bytes; above all values of a lower type, below those of a higher.
func idRange(sel *Selector) (start, end []byte) {
	r := ids{}
	r.collect(sel.root)
	if r.none || r.end != nil && bytes.Compare(r.start, r.end) >= 0 {
		return []byte{0}, []byte{0}
	}
	return r.start, r.end
}

type ids struct {
	start, end []byte
	none       bool
}

func (r *ids) collect(e expr) {
	switch e := e.(type) {
	case all:
		for _, sub := range e {
			r.collect(sub)
		}
	case at:
		if e.field.name == "_id" {
			r.narrow(e.test)
		}
	}
}

func (r *ids) narrow(t test) {
	lower, upper := t.op == "$gt" || t.op == "$gte" || t.op == "$eq", t.op == "$lt" || t.op == "$lte" || t.op == "$eq"
	id, ok := t.arg.(string)
	if !ok {
		_, isArray := t.arg.([]any)
		_, isObject := t.arg.(map[string]any)
		above := isArray || isObject
		r.none = r.none || lower && above || upper && !above
		return
	}
	s := span{low: r.start, high: r.end}
	after := append([]byte(id), 0) // The next id.
	if lower && t.op == "$gt" {
		s.from(after)
	} else if lower {
		s.from([]byte(id))
	}
	if upper && t.op == "$lt" {
		s.to([]byte(id))
	} else if upper {
		s.to(after)
	}
	r.start, r.end = s.low, s.high
}
