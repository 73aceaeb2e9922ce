package couch

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/go-kivik/kivik/v4"
)

// A query is a request to _find. Its limit is always sent, and it names the
// index that serves it (database.md section 12).
type query struct {
	Selector map[string]any      `json:"selector"`
	Fields   []string            `json:"fields,omitempty"`
	Sort     []map[string]string `json:"sort,omitempty"`
	Limit    int                 `json:"limit"`
	UseIndex []string            `json:"use_index,omitempty"`
}

// find calls f for each document that matches, after all of them have arrived.
func (d database) find(ctx context.Context, q query, index string, f func(doc json.RawMessage) error) error {
	q.UseIndex = []string{"_design/" + indexDoc(index), index}
	var docs []json.RawMessage
	err := d.read(ctx, func(ctx context.Context) error {
		docs = docs[:0]
		rows := d.kivik.Find(ctx, q)
		defer rows.Close()
		for rows.Next() {
			var doc json.RawMessage
			if err := rows.ScanDoc(&doc); err != nil {
				return err
			}
			if string(doc) != "null" { // Else it was deleted since the index was read.
				docs = append(docs, doc)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return d.failed("looking for", err)
	}
	for _, doc := range docs {
		if err := f(doc); err != nil {
			return err
		}
	}
	return nil
}

// into returns a function for find that decodes each document and appends it.
func into[T any](list *[]T) func(json.RawMessage) error {
	return func(doc json.RawMessage) error {
		var v T
		if err := json.Unmarshal(doc, &v); err != nil {
			return err
		}
		*list = append(*list, v)
		return nil
	}
}

// A span is a range of ids for list: start <= id <= end, the other way round
// when descending.
type span struct {
	start, end string
	descending bool
	limit      int  // Required.
	bare       bool // Ids alone, without documents.
}

// prefix returns the span of the ids that begin with p.
func prefix(p string, limit int) span { return span{start: p, end: p + "~", limit: limit} }

// list returns the documents of a span of ids, ascending or descending.
func (d database) list(ctx context.Context, s span) ([]json.RawMessage, error) {
	params := map[string]any{"limit": s.limit, "include_docs": !s.bare, "descending": s.descending}
	if s.start != "" {
		params["startkey"] = s.start
	}
	if s.end != "" {
		params["endkey"] = s.end
	}
	return d.allDocs(ctx, kivik.Params(params), s.bare)
}

// many returns the documents of ids, in that order; nil where there is none.
func (d database) many(ctx context.Context, ids []string) ([]json.RawMessage, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	docs, err := d.allDocs(ctx, kivik.Params(map[string]any{"keys": ids, "include_docs": true}), false)
	if err == nil && len(docs) != len(ids) {
		err = d.failed("reading", errRefused)
	}
	return docs, err
}

// allDocs asks _all_docs. Bare, it returns the ids as JSON strings.
func (d database) allDocs(ctx context.Context, options kivik.Option, bare bool) ([]json.RawMessage, error) {
	var docs []json.RawMessage
	err := d.read(ctx, func(ctx context.Context) error {
		docs = docs[:0]
		rows := d.kivik.AllDocs(ctx, options)
		defer rows.Close()
		for rows.Next() {
			var doc json.RawMessage
			if bare {
				id, err := rows.ID()
				if err != nil {
					return err
				}
				doc = json.RawMessage(id)
			} else if rows.ScanDoc(&doc) != nil || string(doc) == "null" {
				doc = nil // Missing or deleted.
			}
			docs = append(docs, doc)
		}
		return rows.Err()
	})
	return docs, d.failed("reading", err)
}

// ids returns all ids of the database, but those of design documents.
func (d database) ids(ctx context.Context) ([]string, error) {
	var out []string
	for last := ""; ; {
		page, err := d.list(ctx, span{start: last, limit: maxDocuments, bare: true})
		if err != nil {
			return nil, err
		}
		for _, id := range page {
			if s := string(id); s != last && !strings.HasPrefix(s, "_design/") {
				out = append(out, s)
			}
		}
		if len(page) < maxDocuments {
			return out, nil
		}
		last = string(page[len(page)-1])
	}
}
