package bigcouch

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"leap.example/services/bigcouch/spread"
	"leap.example/services/bigcouch/store"
)

// A partFound is what a part writes for a document that _find has found, when
// the answer is to be merged: the document, and the place of its row in the
// index, by which it is merged.
type partFound struct {
	Place []byte          `json:"place"`
	Doc   json.RawMessage `json:"doc"`
}

// A partPlan comes before the documents of a part, a partTail behind them.
type partPlan struct {
	Index      []byte `json:"index"`
	Descending bool   `json:"descending"`
	Warning    string `json:"warning"`
}

type partTail struct {
	Last     []byte `json:"last"` // Place of the last row that was looked at.
	Examined int    `json:"examined"`
}

// merged reports whether the answer is one of those of several parts, to be
// merged by another call.
func (c *call) merged() bool { return c.ref.designs != "" && c.ref.designs != showCopies }

// writePart answers for this part.
func (q *query) writePart(v *store.View) error {
	plan, err := json.Marshal(partPlan{q.index[:], q.plan.Descending, q.plan.Warning})
	if err != nil {
		return err
	}
	q.out.WriteString(`{"plan":` + string(plan) + `,"docs":[`)
	if err := q.run(v); err != nil {
		return err
	}
	tail, err := json.Marshal(partTail{q.last, q.examined})
	if err != nil {
		return err
	}
	q.out.WriteString("\n],\"tail\":")
	q.out.Write(append(tail, '}'))
	return q.end()
}

// spreadFind merges what parts have found.
func (c *call) spreadFind() error {
	begun := time.Now()
	q, err := c.newQuery()
	if err != nil {
		return err
	}
	return c.withDesigns(func(sum string, fresh bool) error {
		limit := q.limit + q.req.Skip
		part := q.req
		part.Skip, part.Limit = 0, &limit
		body, err := json.Marshal(part)
		if err != nil {
			return err
		}
		all, end, err := c.openAll("docs", c.everyPart(demand{
			method: http.MethodPost, path: []string{"_find"}, body: body, designs: sum, fresh: fresh,
		}))
		if err != nil {
			return err
		}
		defer end()
		return q.merge(all, begun)
	})
}

// merge writes the documents that were asked for.
func (q *query) merge(all []*partRows, begun time.Time) error {
	var head partPlan
	if err := json.Unmarshal(all[0].Members["plan"], &head); err != nil {
		return partLost(err)
	}
	copy(q.index[:], head.Index)
	q.plan.Descending, q.plan.Warning = head.Descending, head.Warning
	further := func(a, b []byte) bool { return (bytes.Compare(a, b) > 0) != q.plan.Descending && !bytes.Equal(a, b) }
	var sources []func() (partFound, bool, error)
	for _, r := range all {
		sources = append(sources, func() (f partFound, ok bool, err error) {
			data, err := r.next()
			if err != nil || data == nil {
				return f, false, err
			}
			if err = json.Unmarshal(data, &f); err != nil {
				err = partLost(err)
			}
			return f, true, err
		})
	}
	w := q.begin(typeJSON)
	w.WriteString(`{"docs":[`)
	skip := q.req.Skip
	if q.limit > 0 {
		for f, err := range spread.Merge(sources, func(a, b partFound) bool { return further(b.Place, a.Place) }) {
			if err != nil {
				return err
			}
			q.last = f.Place
			if skip > 0 {
				skip--
				continue
			}
			q.writeRowOf(q.found, f.Doc)
			if q.found++; q.found == q.limit {
				break
			}
		}
	}
	for _, r := range all {
		tail, err := r.rest()
		if err != nil {
			return err
		}
		q.examined += tail.Examined
		if q.found < q.limit && tail.Last != nil && (q.last == nil || further(tail.Last, q.last)) {
			q.last = tail.Last
		}
	}
	return q.writeTail(begun)
}

// rest passes over the rows that are left and returns what comes behind them.
func (r *partRows) rest() (tail partTail, err error) {
	for {
		data, err := r.next()
		if err != nil {
			return tail, err
		}
		if data == nil {
			break
		}
	}
	if err := json.Unmarshal(r.Members["tail"], &tail); err != nil {
		return tail, partLost(err)
	}
	return tail, nil
}
