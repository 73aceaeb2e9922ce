package bigcouch

import (
	"context"
	"encoding/json"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// getView answers one query of a view.
func (c *call) getView(id, name string) error {
	f, err := c.findView(id, name)
	if err != nil {
		return err
	}
	keys, err := c.viewParameters()
	if err != nil {
		return err
	}
	q, err := c.viewQuery(f, keys)
	if err != nil {
		return err
	}
	return c.answerView(q.update, func(v *store.View) error { return c.writeRows(v, q) }, f)
}

// postQueries answers several queries of a view at once.
func (c *call) postQueries(id, name string) error {
	f, err := c.findView(id, name)
	if err != nil {
		return err
	}
	queries, err := c.viewQueries(f)
	if err != nil {
		return err
	}
	update := "false"
	for _, q := range queries {
		if q.update == "true" || update == "false" {
			update = q.update
		}
	}
	return c.answerView(update, func(v *store.View) error {
		c.out.WriteString(`{"results":[`)
		for i, q := range queries {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.out.WriteByte('\n')
			if err := c.writeRows(v, q); err != nil {
				return err
			}
		}
		c.out.WriteString("\n]}")
		return nil
	}, f)
}

// findView returns a view of a design document.
func (c *call) findView(id, name string) (*mapReduce, error) {
	v := c.view()
	defer v.Close()
	d, err := c.namedDesign(v, id)
	if err != nil {
		return nil, err
	}
	return d.view(name)
}

// viewParameters is rowParameters with the text among them as text.
func (c *call) viewParameters() ([]json.RawMessage, error) {
	keys, err := c.rowParameters()
	if err != nil || c.r.Method != "POST" {
		return keys, err
	}
	body := map[string]json.RawMessage{}
	for _, name := range plain {
		if c.query.Has(name) {
			body[name] = json.RawMessage(c.query.Get(name))
		}
	}
	c.unquote(body)
	return keys, nil
}

// answerView brings the rows up to date as far as is asked for, and answers.
func (c *call) answerView(update string, write func(v *store.View) error, f *mapReduce) error {
	if update == "true" {
		if err := c.refresh(c.ctx(), f); err != nil {
			return err
		}
	}
	v := c.view()
	defer v.Close()
	w := c.begin(typeJSON)
	if err := write(v); err != nil {
		return err
	}
	w.WriteByte('\n')
	if update == "lazy" {
		c.later(func(ctx context.Context) error { return c.refresh(ctx, f) })
	}
	return c.end()
}

// later runs f while the node runs, and until then keeps the store open.
func (c *call) later(f func(ctx context.Context) error) {
	if !c.gate.TryRLock() {
		return // The node stops.
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	ended := make(chan struct{})
	go func() { // Ends with the node.
		select {
		case <-c.stopping:
		case <-ended:
		}
		cancel()
	}()
	go func() { // The node waits for its gate.
		defer c.gate.RUnlock()
		defer close(ended)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			if _, known := asWire(err); !known {
				c.log.WarnContext(ctx, "view not updated", "err", err)
			}
		}
	}()
}

// writeRows writes what a query finds.
func (c *call) writeRows(v *store.View, q viewQuery) error {
	if q.reduce {
		return c.writeReduced(v, q)
	}
	state, err := v.ViewState(c.db, q.f.id)
	if err != nil {
		return err
	}
	c.out.WriteByte('{')
	if !q.unsorted {
		offset, err := c.offset(v, q, state)
		if err != nil {
			return err
		}
		c.out.WriteString(`"total_rows":` + strconv.FormatUint(state.Rows, 10) + `,"offset":` + strconv.FormatUint(offset, 10) + `,`)
	}
	c.writeSequence(q, state)
	c.out.WriteString(`"rows":[`)
	n := 0
	for span, err := range q.spans() {
		if err != nil {
			return err
		}
		if q.limit == 0 {
			break
		}
		q.list++
		for row, err := range v.ViewRows(c.db, q.f.id, span) {
			if err != nil {
				return err
			}
			if q.skip > 0 {
				q.skip--
				continue
			}
			if n++; n > 1 {
				c.out.WriteByte(',')
			}
			if err := c.writeRow(v, q, row); err != nil {
				return err
			}
			if n == q.limit {
				break
			}
		}
		if n == q.limit {
			break
		}
	}
	c.out.WriteString("\n]}")
	return nil
}

func (c *call) writeSequence(q viewQuery, state store.ViewState) {
	if q.sequence {
		c.out.WriteString(`"update_seq":` + strconv.Quote(seqString(c.db, state.Seq)) + `,`)
	}
}

// spans returns the ranges of a query one after the other: its range, or one
// for each of its keys.
func (q viewQuery) spans() func(yield func(store.Span, error) bool) {
	return func(yield func(store.Span, error) bool) {
		if q.keys == nil {
			yield(q.span, nil)
			return
		}
		for _, raw := range q.keys {
			key, err := orderOf(raw)
			if !yield(store.Span{Start: key, End: behind(key, ""), Descending: q.span.Descending}, err) || err != nil {
				return
			}
		}
	}
}

// offset returns how many rows lie before the first one of the answer.
func (c *call) offset(v *store.View, q viewQuery, state store.ViewState) (uint64, error) {
	before := 0
	for span, err := range q.spans() {
		if err != nil {
			return 0, err
		}
		switch {
		case !span.Descending && span.Start != nil:
			before, err = v.CountViewRows(c.db, q.f.id, store.Span{End: span.Start})
		case span.Descending && span.End != nil:
			before, err = v.CountViewRows(c.db, q.f.id, store.Span{Start: span.End})
		}
		if err != nil {
			return 0, err
		}
		break // Of several keys the first counts.
	}
	return min(uint64(before)+uint64(q.skip), state.Rows), nil
}

// writeRow writes a row of a map.
func (c *call) writeRow(v *store.View, q viewQuery, row store.ViewRow) error {
	b := append([]byte("\n{"), c.listed(q)...)
	b = append(appendJSON(append(b, `"id":`...), row.ID), `,"key":`...)
	b = append(append(b, row.Key...), `,"value":`...)
	c.out.Write(append(b, row.Value...))
	if q.docs {
		c.out.WriteString(`,"doc":`)
		if err := c.writeLinked(v, q, row); err != nil {
			return err
		}
	}
	return c.out.WriteByte('}')
}

// listed says in a row of a part, which is to be merged with those of others, of
// which of several keys it is an answer.
func (c *call) listed(q viewQuery) string {
	if q.keys == nil || !c.merged() {
		return ""
	}
	return `"list":` + strconv.Itoa(q.list) + ","
}

// writeLinked writes the document of a row: that of the value's _id and _rev,
// if it has any.
func (c *call) writeLinked(v *store.View, q viewQuery, row store.ViewRow) error {
	var link struct {
		ID  string `json:"_id"`
		Rev string `json:"_rev"`
	}
	if len(row.Value) == 0 || row.Value[0] != '{' || json.Unmarshal(row.Value, &link) != nil {
		link.ID, link.Rev = "", ""
	}
	if link.ID == "" {
		link.ID = row.ID
	}
	d, err := v.Document(c.db, link.ID)
	if err != nil {
		return err
	}
	leaf, found := store.Node{}, false
	if d != nil {
		leaf, found = store.Node{Rev: d.Rev, Deleted: d.Deleted, Leaf: true}, !d.Deleted
		if link.Rev != "" {
			tree, err := d.Tree()
			if err != nil {
				return err
			}
			rev, err := store.ParseRev(link.Rev)
			if leaf, found = tree.Node(rev); err != nil || !leaf.Leaf {
				found = false
			}
		}
	}
	if !found {
		_, err := c.out.WriteString("null")
		return err
	}
	return c.writeDocument(c.out, v, d, leaf, q.o)
}
