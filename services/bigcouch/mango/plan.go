package mango

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// noIndex is CouchDB's warning.
const noIndex = "No matching index found, create an index to optimize query time."

// A Plan says where to look for the answer to a query. Not all that is found
// there is an answer: the caller still applies the selector.
type Plan struct {
	Index *Index // nil: all documents by id.
	// Start and End bound the rows: Start <= row < End, bytes of KeyBytes; of
	// ids when Index is nil. A nil bound is none. Equal bounds: no rows.
	Start, End []byte
	Descending bool   // Read from the end.
	Warning    string // For the member "warning" of the answer, or "".
}

// PlanQuery chooses an index for a query. sort and use are the members of that
// name in the request, or nil. An index is usable when everything that sel
// matches has a row in it and when its rows stand in the order asked for; of
// the usable ones that is taken whose leading fields sel binds most, by
// equality first and then by one range. An index with a partial filter is used
// only when use names it: the caller of the query vouches for it.
//
// A sort that no index provides is the *Error no_usable_index.
func PlanQuery(sel *Selector, indexes []Index, sort, use json.RawMessage) (Plan, error) {
	order, desc, err := parseSort(sort)
	if err != nil {
		return Plan{}, err
	}
	wanted, err := parseUse(use)
	if err != nil {
		return Plan{}, err
	}
	var best *candidate
	for i := range indexes {
		x := &indexes[i]
		named := wanted.names(*x)
		if x.Partial != nil && !named || !usable(*x, sel, order) {
			continue
		}
		c := newCandidate(x, sel)
		c.named = named
		if best == nil || c.compare(best) < 0 {
			best = c
		}
	}
	plan := Plan{Descending: desc}
	switch {
	case best != nil:
		plan.Index, plan.Start, plan.End = best.index, best.start, best.end
	case len(order) > 0 && (len(order) > 1 || order[0].name != "_id"):
		return Plan{}, refuse("no_usable_index", "No index exists for this sort, try indexing by the sort fields.")
	default:
		plan.Start, plan.End = idRange(sel)
		plan.Warning = noIndex
	}
	if wanted.ddoc != "" && (best == nil || !best.named) {
		plan.Warning = strings.TrimSpace(wanted.warning() + "\n" + plan.Warning)
	}
	return plan, nil
}

func (w wish) warning() string {
	if w.name == "" {
		return fmt.Sprintf("_design/%s was not used because it does not contain a valid index for this query.", w.ddoc)
	}
	return fmt.Sprintf("_design/%s, %s was not used because it is not a valid index for this query.", w.ddoc, w.name)
}

// usable reports whether x has a row for everything that sel matches, in the
// order asked for. What has no value to sort by is no answer either.
func usable(x Index, sel *Selector, order []field) bool {
	for _, name := range x.Fields {
		sorted := slices.ContainsFunc(order, func(f field) bool { return f.name == name })
		if !sorted && name != "_id" && name != "_rev" && !requires(sel.root, name) {
			return false
		}
	}
	if len(order) == 0 {
		return true
	}
	rest := x.Fields
	for len(rest) > 0 && rest[0] != order[0].name && spanOf(sel.root, rest[0]).eq {
		rest = rest[1:] // One value in all rows: it does not change their order.
	}
	if len(rest) < len(order) {
		return false
	}
	for i, f := range order {
		if rest[i] != f.name {
			return false
		}
	}
	return true
}

// A candidate is a usable index and how far the query narrows it.
type candidate struct {
	index      *Index
	named      bool
	equal      int // Leading fields bound to one value.
	ranged     bool
	start, end []byte
}

func newCandidate(x *Index, sel *Selector) *candidate {
	c := &candidate{index: x}
	var prefix []byte
	for _, name := range x.Fields {
		s := spanOf(sel.root, name)
		c.start, c.end = s.on(prefix)
		if !s.eq || s.empty() {
			c.ranged = s.low != nil || s.high != nil
			return c
		}
		c.equal++
		prefix = c.start
	}
	return c
}

// compare is negative when c is the better choice than d: first the one asked
// for, then what is narrower, then what has fewer fields, then by name.
func (c *candidate) compare(d *candidate) int {
	switch {
	case c.named != d.named:
		return pick(c.named)
	case c.equal != d.equal:
		return d.equal - c.equal
	case c.ranged != d.ranged:
		return pick(c.ranged)
	case len(c.index.Fields) != len(d.index.Fields):
		return len(c.index.Fields) - len(d.index.Fields)
	}
	return strings.Compare(c.index.DDoc+"/"+c.index.Name, d.index.DDoc+"/"+d.index.Name)
}

func pick(first bool) int {
	if first {
		return -1
	}
	return 1
}
