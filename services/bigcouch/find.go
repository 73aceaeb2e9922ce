package bigcouch

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"leap.example/services/bigcouch/mango"
	"leap.example/services/bigcouch/store"
)

// defaultFindLimit is CouchDB's.
const defaultFindLimit = 25

// A findRequest is the body of _find and _explain.
type findRequest struct {
	Selector  json.RawMessage `json:"selector"`
	Limit     *int            `json:"limit,omitempty"`
	Skip      int             `json:"skip"`
	Sort      json.RawMessage `json:"sort,omitempty"`
	Fields    json.RawMessage `json:"fields,omitempty"`
	UseIndex  json.RawMessage `json:"use_index,omitempty"`
	Bookmark  string          `json:"bookmark"`
	Conflicts bool            `json:"conflicts"`
	Stats     bool            `json:"execution_stats"`
}

// A query is a request that has been understood.
type query struct {
	*call
	req    findRequest
	sel    *mango.Selector
	fields []fieldPath // Nil: all.
	limit  int
	plan   mango.Plan
	index  store.IndexID // Zero: all documents by id.

	examined, found int
	last            []byte // Key of the last row that was looked at.
}

func (c *call) newQuery() (*query, error) {
	q := &query{call: c, limit: defaultFindLimit}
	if err := c.decode(&q.req); err != nil {
		return nil, err
	}
	if q.req.Selector == nil {
		return nil, &wireError{http.StatusBadRequest, "missing_required_key", "Missing required key: selector"}
	}
	if q.req.Limit != nil {
		q.limit = *q.req.Limit
	}
	if q.limit < 0 || q.req.Skip < 0 {
		return nil, &wireError{http.StatusBadRequest, "invalid_non_neg_integer", "limit and skip must not be negative"}
	}
	var err error
	if q.sel, err = mango.ParseSelector(q.req.Selector); err != nil {
		return nil, err
	}
	q.fields, err = parseFields(q.req.Fields)
	return q, err
}

// choose plans the query on what a view has.
func (q *query) choose(v *store.View) error {
	indexes, err := q.store.Indexes(v, q.db)
	if err != nil {
		return err
	}
	defs := make([]mango.Index, len(indexes))
	for i, x := range indexes {
		defs[i] = x.Index
	}
	if q.plan, err = mango.PlanQuery(q.sel, defs, q.req.Sort, q.req.UseIndex); err != nil {
		return err
	}
	q.index = store.IndexID{}
	for _, x := range indexes {
		if q.plan.Index != nil && x.DDoc == q.plan.Index.DDoc && x.Name == q.plan.Index.Name {
			q.index = x.ID
		}
	}
	return nil
}

// ready returns a view in which the index of the plan has all its rows. The
// first query of an index builds it.
func (q *query) ready() (*store.View, error) {
	for {
		v := q.view()
		err := q.choose(v)
		built := q.index == store.IndexID{}
		if err == nil && !built {
			built, err = v.Built(q.db, q.index)
		}
		if err == nil && built {
			return v, nil
		}
		v.Close()
		if err != nil {
			return nil, err
		}
		if err := q.build(); err != nil {
			return nil, err
		}
	}
}

// build builds the index of the plan.
func (q *query) build() error {
	end := q.tasks.begin("indexer", map[string]any{
		"database": q.db.Name, "design_document": store.DesignPrefix + q.plan.Index.DDoc,
	})
	defer end()
	for {
		done, err := q.store.BuildIndex(q.db, q.index)
		if err != nil || done {
			return err
		}
		if err := q.ctx().Err(); err != nil {
			return err
		}
	}
}

func (c *call) find() error {
	begun := time.Now()
	q, err := c.newQuery()
	if err != nil {
		return err
	}
	v, err := q.ready()
	if err != nil {
		return err
	}
	defer v.Close()
	if err := q.resume(); err != nil {
		return err
	}
	w := c.begin("application/json")
	if c.merged() {
		return q.writePart(v)
	}
	w.WriteString(`{"docs":[`)
	if err := q.run(v); err != nil {
		return err
	}
	return q.writeTail(begun)
}

// writeTail writes what comes behind the documents.
func (q *query) writeTail(begun time.Time) error {
	tail := struct {
		Bookmark string `json:"bookmark"`
		Warning  string `json:"warning,omitempty"`
		Stats    *stats `json:"execution_stats,omitempty"`
	}{Bookmark: q.bookmark(), Warning: q.plan.Warning}
	if q.req.Stats {
		tail.Stats = &stats{0, q.examined, 0, q.found, float64(time.Since(begun).Microseconds()) / 1000}
	}
	data, err := json.Marshal(tail)
	if err != nil {
		return err
	}
	q.out.WriteString("\n],")
	q.out.Write(append(data[1:], '\n'))
	return q.end()
}

type stats struct {
	Keys    int     `json:"total_keys_examined"`
	Docs    int     `json:"total_docs_examined"`
	Quorum  int     `json:"total_quorum_docs_examined"`
	Results int     `json:"results_returned"`
	Time    float64 `json:"execution_time_ms"`
}

// run looks at rows until the limit is reached.
func (q *query) run(v *store.View) error {
	if q.limit == 0 {
		return nil
	}
	in := store.Span{Start: q.plan.Start, End: q.plan.End, Descending: q.plan.Descending}
	if q.index != (store.IndexID{}) {
		for row, err := range v.Rows(q.db, q.index, in) {
			if err != nil {
				return err
			}
			d, err := v.Document(q.db, row.ID)
			if err != nil {
				return err
			}
			q.last = row.Key
			if done, err := q.examine(v, d); done || err != nil {
				return err
			}
		}
		return nil
	}
	for d, err := range v.Documents(q.db, in) {
		if err != nil {
			return err
		}
		q.last = []byte(d.ID)
		if done, err := q.examine(v, d); done || err != nil {
			return err
		}
	}
	return nil
}

// examine writes a document if it is an answer, and reports whether it was the
// last one.
func (q *query) examine(v *store.View, d *store.Document) (done bool, err error) {
	if d == nil || d.Deleted || isDesign(d.ID) {
		return false, q.ctx().Err()
	}
	doc, err := v.Content(q.db, d)
	if err != nil {
		return false, err
	}
	if q.examined++; !q.sel.Match(doc) {
		return false, q.ctx().Err()
	}
	if q.req.Skip > 0 {
		q.req.Skip--
		return false, nil
	}
	if q.found++; q.found > 1 {
		q.out.WriteByte(',')
	}
	q.out.WriteByte('\n')
	if q.merged() {
		q.out.WriteString(`{"place":"` + base64.StdEncoding.EncodeToString(q.last) + `","doc":`)
		defer q.out.WriteByte('}')
	}
	if q.fields == nil {
		leaf := store.Node{Rev: d.Rev, Leaf: true}
		err = q.writeDocument(q.out, v, d, leaf, render{conflicts: q.req.Conflicts})
	} else {
		var data []byte
		if data, err = json.Marshal(project(doc, q.fields)); err == nil {
			_, err = q.out.Write(data)
		}
	}
	return q.found == q.limit, err
}

// bookmark names the place behind the last row. Where nothing was found it is
// the one that was given: a client goes on until a page is empty.
func (q *query) bookmark() string {
	if q.last == nil || q.found == 0 {
		return orNil(q.req.Bookmark)
	}
	return base64.RawURLEncoding.EncodeToString(append(q.index[:], q.last...))
}

// resume narrows the plan to what lies behind the bookmark.
func (q *query) resume() error {
	if q.req.Bookmark == "" || q.req.Bookmark == "nil" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.req.Bookmark)
	if err != nil || len(raw) <= len(q.index) || !bytes.HasPrefix(raw, q.index[:]) {
		return &wireError{http.StatusBadRequest, "invalid_bookmark", "Invalid bookmark value: " + q.req.Bookmark}
	}
	key := raw[len(q.index):]
	if q.plan.Descending {
		if q.plan.End == nil || bytes.Compare(key, q.plan.End) < 0 {
			q.plan.End = key
		}
	} else if next := append(key, 0); bytes.Compare(next, q.plan.Start) > 0 {
		q.plan.Start = next
	}
	return nil
}
