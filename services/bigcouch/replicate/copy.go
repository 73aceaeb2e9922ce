package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// A missing is one document of which the target lacks revisions.
type missing struct {
	id   string
	revs []string
	have []string // Leaves of the target that may be ancestors.
}

// An item is one revision that is ready to be written.
type item struct {
	id, rev string
	data    []byte
	stubs   bool // Has attachments that the target should have.
}

// Sizes of what is gathered before it is written.
const (
	flushBytes = 2 << 20
	flushDocs  = 500
)

// copy brings the revisions of some changes to the target. What a failed
// attempt has written the next one does not find missing.
func (r *Replication) copy(ctx context.Context, rows []change) error {
	if len(rows) == 0 {
		return nil
	}
	revs := map[string][]string{}
	var order []string
	checked := int64(0)
	for _, c := range rows {
		if _, twice := revs[c.ID]; !twice {
			order = append(order, c.ID)
		}
		for _, x := range c.Changes {
			if !slices.Contains(revs[c.ID], x.Rev) {
				revs[c.ID] = append(revs[c.ID], x.Rev)
				checked++
			}
		}
	}
	counted := false
	return r.step(ctx, func() error {
		diffs, err := r.Target.revsDiff(ctx, revs)
		if err != nil {
			return err
		}
		var todo []missing
		found := int64(0)
		for _, id := range order {
			if d := diffs[id]; len(d.Missing) > 0 {
				todo = append(todo, missing{id, d.Missing, d.Ancestors})
				found += int64(len(d.Missing))
			}
		}
		if !counted {
			counted = true
			r.count(func(s *Stats) { s.Checked += checked; s.Found += found })
		}
		w := &writer{Replication: r}
		if err := w.fetch(ctx, todo); err != nil {
			return err
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
		r.count(func(s *Stats) { s.Failures += w.failures })
		return nil
	})
}

// A writer gathers revisions and writes them to the target, in one attempt to
// copy a batch.
type writer struct {
	*Replication
	items    []item
	size     int
	failures int64 // Revisions that the target does not want.
}

// add takes one more revision.
func (w *writer) add(ctx context.Context, it item) error {
	w.items = append(w.items, it)
	w.size += len(it.data)
	if w.size >= flushBytes || len(w.items) >= flushDocs {
		return w.flush(ctx)
	}
	return nil
}

// flush writes what was gathered.
func (w *writer) flush(ctx context.Context) error {
	items := w.items
	w.items, w.size = nil, 0
	if len(items) == 0 {
		return nil
	}
	return w.put(ctx, items)
}

// A refusal is an element of the answer to _bulk_docs that is no success.
type refusal struct {
	ID     string `json:"id"`
	Rev    string `json:"rev"`
	Error  string `json:"error"`
	Reason string `json:"reason"`
}

// put writes some revisions by one request, or by several if the target does
// not like them together.
func (w *writer) put(ctx context.Context, items []item) error {
	docs := make([]json.RawMessage, len(items))
	for i, it := range items {
		docs[i] = it.data
	}
	body := struct {
		NewEdits bool              `json:"new_edits"`
		Docs     []json.RawMessage `json:"docs"`
	}{false, docs}
	var refusals []refusal
	err := w.Target.json(ctx, http.MethodPost, "/_bulk_docs", body, &refusals, maxDiff)
	e, refused := errors.AsType[*Error](err)
	switch {
	case !refused:
	case e.Status == http.StatusPreconditionFailed: // CouchDB refuses all for one wrong stub.
		return w.unstub(ctx, items, err)
	case e.Status == http.StatusRequestEntityTooLarge, e.Status == http.StatusBadRequest && e.Name != noName:
		return w.split(ctx, items)
	}
	if err != nil {
		return err
	}
	return w.judge(ctx, items, refusals)
}

// split writes halves, until it is clear which revision is not wanted.
func (w *writer) split(ctx context.Context, items []item) error {
	if len(items) == 1 {
		w.failures++
		return nil
	}
	half := len(items) / 2
	return errors.Join(w.put(ctx, items[:half]), w.put(ctx, items[half:]))
}

// unstub writes revisions again, now with all their attachments.
func (w *writer) unstub(ctx context.Context, items []item, refused error) error {
	var full []item
	for _, it := range items {
		if !it.stubs {
			full = append(full, it)
		}
	}
	if len(full) == len(items) {
		return refused
	}
	for _, it := range items {
		if !it.stubs {
			continue
		}
		x, err := w.attach(ctx, it.id, it.rev, nil, nil)
		if err != nil {
			return err
		}
		if x != nil {
			full = append(full, *x)
		}
	}
	if len(full) == 0 {
		return nil
	}
	return w.put(ctx, full)
}

// unwanted are the words with which a target refuses a document for good. With
// any other the attempt has failed.
var unwanted = []string{
	"forbidden", "unauthorized", "conflict", "bad_request", "doc_validation", "illegal_docid", "document_too_large", "too_large",
	"attachment_too_large", "invalid",
}

// judge looks at what the target has said about each revision. With
// new_edits=false it speaks of what it did not store only, but some do not.
func (w *writer) judge(ctx context.Context, items []item, refusals []refusal) error {
	var again []item
	var failed int64
	for _, x := range refusals {
		switch {
		case x.Error == "":
		case x.Error == "missing_stub":
			for _, it := range items {
				if it.id == x.ID && it.stubs && (x.Rev == "" || it.rev == x.Rev) && !slices.ContainsFunc(again, func(o item) bool { return o.rev == it.rev && o.id == it.id }) {
					again = append(again, it)
				}
			}
		case slices.Contains(unwanted, x.Error):
			failed++
		default:
			return &Error{http.StatusInternalServerError, cut(x.Error), w.Target.name + ": " + cut(x.Reason)}
		}
	}
	written := int64(len(items)-len(again)) - failed
	w.failures += failed
	w.count(func(s *Stats) { s.Written += max(0, written) })
	if len(again) > 0 {
		return w.unstub(ctx, again, errorf("missing_stub", "%s lacks an attachment", w.Target.name))
	}
	return nil
}

// gone reports whether a peer says that it has no such document or revision.
func gone(err error) bool {
	s := status(err)
	return s == http.StatusNotFound || s == http.StatusGone
}

// lacks reports whether a peer does not know a resource.
func lacks(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnsupportedMediaType,
		http.StatusNotAcceptable:
		return true
	}
	return false
}
