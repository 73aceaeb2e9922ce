package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// A docsQuery asks for documents by id: a range, or the keys that are asked
// for. The documents are those of a namespace: of all that are not local, or
// of design documents, or local ones.
type docsQuery struct {
	space string // "", "_design/" or "_local/".
	keys  []json.RawMessage
	r     idRange
	o     render
	docs  bool
	seq   bool // Say the update sequence.
}

// spaces are the namespaces of the resources that list documents.
var spaces = map[string]string{"_all_docs": "", "_design_docs": store.DesignPrefix, "_local_docs": localPrefix}

// docsQuery reads one from the query of the request, which has the members of
// the body in it.
func (c *call) docsQuery(keys []json.RawMessage) (q docsQuery, err error) {
	q.space, q.keys = spaces[c.path[1]], keys
	if q.r, err = c.idRange(); err != nil {
		return q, err
	}
	if q.docs, err = c.flag("include_docs"); err != nil {
		return q, err
	}
	if q.seq, err = c.flag("update_seq"); err != nil {
		return q, err
	}
	q.o, err = c.renderFlags()
	return q, err
}

// allDocs lists documents.
func (c *call) allDocs() error {
	keys, err := c.rowParameters()
	if err != nil {
		return err
	}
	q, err := c.docsQuery(keys)
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	info, err := v.Info(c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	w := c.begin(typeJSON)
	if err := c.writeListing(v, info, q); err != nil {
		return err
	}
	w.WriteByte('\n')
	return c.end()
}

// allDocsQueries answers several queries at once, on one view.
func (c *call) allDocsQueries() error {
	list, err := c.bodyQueries()
	if err != nil {
		return err
	}
	queries := make([]docsQuery, len(list))
	for i, one := range list {
		if queries[i], err = one.docsQuery(one.keys); err != nil {
			return err
		}
	}
	v := c.view()
	defer v.Close()
	info, err := v.Info(c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	w := c.begin(typeJSON)
	w.WriteString(`{"results":[`)
	for i, q := range queries {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('\n')
		if err := c.writeListing(v, info, q); err != nil {
			return err
		}
	}
	w.WriteString("\n]}\n")
	return c.end()
}

// rowParameters reads keys, from the query or the body, and takes the other
// members of a body for parameters of the query.
func (c *call) rowParameters() (keys []json.RawMessage, err error) {
	if list := c.query.Get("keys"); list != "" {
		if json.Unmarshal([]byte(list), &keys) != nil || keys == nil {
			return nil, badRequest("`keys` parameter must be an array.")
		}
	}
	if c.r.Method != http.MethodPost {
		return keys, nil
	}
	var body map[string]json.RawMessage
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	inBody, err := c.takeParameters(body)
	if inBody != nil {
		keys = inBody
	}
	return keys, err
}

// takeParameters takes members of a body for parameters of the query, and
// returns keys.
func (c *call) takeParameters(body map[string]json.RawMessage) (keys []json.RawMessage, err error) {
	for name, value := range body {
		if name == "keys" {
			if json.Unmarshal(value, &keys) != nil || keys == nil {
				return nil, badRequest("`keys` body member must be an array.")
			}
			continue
		}
		c.query.Set(name, string(value))
	}
	return keys, nil
}

// writeListing writes what a query finds. How many rows lie before a range is
// not counted, that would read them all: offset is null then.
func (c *call) writeListing(v *store.View, info *store.Info, q docsQuery) error {
	live, _, err := c.copiesIn(v)
	if err != nil {
		return err
	}
	total, offset := strconv.FormatUint(info.Docs-live, 10), "null"
	switch q.space {
	case localPrefix:
		total = "null"
	case store.DesignPrefix:
		n, err := c.countDesigns(v)
		if err != nil {
			return err
		}
		total = strconv.Itoa(n)
		if q.keys == nil && !q.r.part {
			offset = strconv.Itoa(min(q.r.skip, n))
		}
	default:
		if q.keys == nil && !q.r.part {
			offset = strconv.FormatUint(min(uint64(q.r.skip), info.Docs), 10)
		}
	}
	if q.seq {
		offset += `,"update_seq":` + strconv.Quote(seqString(c.db, info.Seq))
	}
	c.out.WriteString(`{"total_rows":` + total + `,"offset":` + offset + `,"rows":[`)
	l := listing{call: c, v: v, q: q}
	switch {
	case q.keys != nil:
		err = l.keys()
	case q.space == localPrefix:
		err = l.locals()
	default:
		err = l.span()
	}
	c.out.WriteString("\n]}")
	return err
}

func (c *call) countDesigns(v *store.View) (n int, err error) {
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return n, err
		}
		if !d.Deleted && !c.copied(d.ID) {
			n++
		}
	}
	return n, nil
}

// spaceSpan returns the range of ids that begin with a prefix.
func spaceSpan(prefix string) store.Span {
	if prefix == "" {
		return store.Span{}
	}
	return store.Span{Start: []byte(prefix), End: []byte(strings.TrimSuffix(prefix, "/") + "0")} // "0" comes after "/".
}

// within narrows a range to that of a namespace.
func within(in store.Span, space string) store.Span {
	bounds := spaceSpan(space)
	bounds.Descending = in.Descending
	if string(in.Start) > string(bounds.Start) {
		bounds.Start = in.Start
	}
	if bounds.End == nil || in.End != nil && string(in.End) < string(bounds.End) {
		bounds.End = in.End
	}
	return bounds
}

// ordered returns the keys in the order in which they are answered.
func (q *docsQuery) ordered() []json.RawMessage {
	if q.r.Descending {
		slices.Reverse(q.keys)
	}
	return q.keys[min(q.r.skip, len(q.keys)):]
}
