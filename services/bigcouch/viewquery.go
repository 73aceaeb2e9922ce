package bigcouch

import (
	"bytes"
	"encoding/json"
	"slices"

	"leap.example/services/bigcouch/order"
	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// A viewQuery asks for rows of a view.
type viewQuery struct {
	f      *mapReduce
	reduce bool
	level  int // Of groups; 0: one group, exact: a group for each key.

	keys  []json.RawMessage // Nil: span.
	list  int               // Of keys, how many have been looked up.
	span  store.Span
	limit int // Negative: none.
	skip  int

	docs      bool
	o         render
	sequence  bool   // update_seq
	unsorted  bool   // sorted=false
	update    string // "true", "false" or "lazy".
	exclusive bool   // inclusive_end=false
}

// exact is the level of groups of equal keys.
const exact = 1 << 30

// plain are the parameters that are text in a query and JSON in a body.
var plain = []string{"startkey_docid", "start_key_doc_id", "endkey_docid", "end_key_doc_id", "update", "stale"}

// unquote makes text of what a body has as JSON.
func (c *call) unquote(body map[string]json.RawMessage) {
	for _, name := range plain {
		var s string
		if raw := body[name]; len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
			c.query.Set(name, s)
		}
	}
}

// viewQuery reads one from the query of the request, which has the members of
// the body in it.
func (c *call) viewQuery(f *mapReduce, keys []json.RawMessage) (q viewQuery, err error) {
	q = viewQuery{f: f, keys: keys, reduce: f.reduce != nil, update: "true"}
	if q.limit, err = c.number("limit", -1); err != nil {
		return q, err
	}
	if q.skip, err = c.number("skip", 0); err != nil {
		return q, err
	}
	sorted, inclusive := true, true
	for name, to := range map[string]*bool{
		"descending": &q.span.Descending, "include_docs": &q.docs, "update_seq": &q.sequence, "reduce": &q.reduce,
		"sorted": &sorted, "inclusive_end": &inclusive, "stable": new(bool),
	} {
		if c.query.Has(name) {
			if *to, err = c.flag(name); err != nil {
				return q, err
			}
		}
	}
	q.unsorted, q.exclusive = !sorted, !inclusive
	if q.o, err = c.renderFlags(); err != nil {
		return q, err
	}
	if err := c.freshness(&q); err != nil {
		return q, err
	}
	if err := c.grouping(&q); err != nil {
		return q, err
	}
	return q, c.bounds(&q)
}

// freshness reads how new the rows must be.
func (c *call) freshness(q *viewQuery) error {
	switch stale := c.query.Get("stale"); stale {
	case "":
	case "ok":
		q.update = "false"
	case "update_after":
		q.update = "lazy"
	default:
		return queryError("Invalid value for `stale`.")
	}
	switch update := c.query.Get("update"); update {
	case "":
	case "true", "false", "lazy":
		q.update = update
	default:
		return queryError("Invalid value for `update`.")
	}
	return nil
}

// grouping reads how rows are reduced, and what does not go with that.
func (c *call) grouping(q *viewQuery) (err error) {
	group, err := c.flag("group")
	if err != nil {
		return err
	}
	if q.level, err = c.number("group_level", 0); err != nil {
		return err
	}
	if group && !c.query.Has("group_level") {
		q.level = exact
	}
	switch {
	case q.f.reduce == nil && q.reduce:
		return queryError("Reduce is invalid for map-only views.")
	case !q.reduce && q.level > 0:
		return queryError("Invalid use of grouping on a map view.")
	case q.reduce && q.docs:
		return queryError("`include_docs` is invalid for reduce")
	case q.reduce && q.o.conflicts:
		return queryError("`conflicts` is invalid for reduce")
	case q.reduce && q.keys != nil && q.level != exact:
		return queryError("Multi-key fetches for reduce views must use `group=true`")
	}
	return nil
}

// bounds reads which rows are asked for.
func (c *call) bounds(q *viewQuery) error {
	key, err := c.key("key", "key")
	if err != nil {
		return err
	}
	start, err := c.key("start_key", "startkey")
	if err != nil {
		return err
	}
	end, err := c.key("end_key", "endkey")
	if err != nil {
		return err
	}
	if q.keys != nil {
		if key != nil || start != nil || end != nil {
			return queryError("`keys` is incompatible with `key`, `start_key` and `end_key`")
		}
		if q.span.Descending {
			slices.Reverse(q.keys)
		}
		return nil
	}
	if key != nil {
		start, end = key, key
	}
	startID, endID := c.either("start_key_doc_id", "startkey_docid"), c.either("end_key_doc_id", "endkey_docid")
	if impossible(start, startID, end, endID, q.span.Descending) {
		other := "true"
		if q.span.Descending {
			other = "false"
		}
		return queryError("No rows can match your key range, reverse your start_key and end_key or set descending=%s", other)
	}
	low, lowID, high, highID := start, startID, end, endID
	if q.span.Descending {
		low, lowID, high, highID = end, endID, start, startID
	}
	if low != nil {
		q.span.Start = low
		if lowID != "" {
			q.span.Start = store.ViewPlace(low, lowID)
		}
		if q.span.Descending && q.exclusive {
			q.span.Start = behind(low, lowID)
		}
	}
	if high != nil {
		q.span.End = behind(high, highID)
		if !q.span.Descending && q.exclusive {
			q.span.End = high
			if highID != "" {
				q.span.End = store.ViewPlace(high, highID)
			}
		}
	}
	return nil
}

// behind returns the place behind all rows of a key, or of a document with it.
func behind(key []byte, id string) []byte {
	if id != "" {
		key = store.ViewPlace(key, id)
	}
	return append(slices.Clone(key), 0xff, 0xff, 0xff, 0xff, 0xff)
}

// impossible reports whether the end lies before the start.
func impossible(start []byte, startID string, end []byte, endID string, descending bool) bool {
	if start == nil || end == nil {
		return false
	}
	if descending {
		start, startID, end, endID = end, endID, start, startID
	}
	switch bytes.Compare(start, end) {
	case 0:
		return startID != "" && endID != "" && startID > endID
	case 1:
		return true
	}
	return false
}

// key reads a key that goes by two names; nil if it is not there.
func (c *call) key(a, b string) ([]byte, error) {
	if !c.query.Has(a) && !c.query.Has(b) {
		return nil, nil
	}
	return orderOf([]byte(c.either(a, b)))
}

// orderOf returns a key in JSON as package order has it.
func orderOf(raw []byte) ([]byte, error) {
	v, err := view.Value(raw)
	if err != nil || !json.Valid(raw) {
		return nil, errBadJSON
	}
	return order.Append(nil, v), nil
}

// viewQueries reads the body of queries.
func (c *call) viewQueries(f *mapReduce) ([]viewQuery, error) {
	list, err := c.bodyQueries()
	if err != nil {
		return nil, err
	}
	queries := make([]viewQuery, len(list))
	for i, one := range list {
		if queries[i], err = one.viewQuery(f, one.keys); err != nil {
			return nil, err
		}
	}
	return queries, nil
}
