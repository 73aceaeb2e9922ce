package replicate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// keptBytes is how much of documents with attachments is kept until the others
// are written.
const keptBytes = 4 << 20

// A kept is a document with attachments, which come after the others.
type kept struct {
	id, rev string
	doc     *members // Nil: to be read again.
	have    []string
}

// fetch reads revisions from the source and hands them on to be written.
func (w *writer) fetch(ctx context.Context, todo []missing) error {
	if len(todo) == 0 {
		return nil
	}
	var later []kept
	rest := todo
	if !w.Source.noBulkGet {
		var err error
		rest, later, err = w.bulkGet(ctx, todo)
		if lacks(err) {
			w.Source.noBulkGet, rest, later = true, todo, nil
		} else if err != nil {
			return err
		}
	}
	for _, m := range rest {
		more, err := w.openRevs(ctx, m)
		if err != nil {
			return err
		}
		later = append(later, more...)
	}
	for _, k := range later {
		it, err := w.attach(ctx, k.id, k.rev, k.doc, k.have)
		if err != nil {
			return err
		}
		if it == nil {
			continue
		}
		if err := w.add(ctx, *it); err != nil {
			return err
		}
	}
	return nil
}

// bulkGet asks for all revisions at once. It returns the documents that must
// be asked for one by one, and those with attachments.
func (w *writer) bulkGet(ctx context.Context, todo []missing) (rest []missing, later []kept, err error) {
	type ask struct {
		ID  string `json:"id"`
		Rev string `json:"rev"`
	}
	var body struct {
		Docs []ask `json:"docs"`
	}
	wanted := map[string]missing{}
	for _, m := range todo {
		wanted[m.id] = m
		for _, rev := range m.revs {
			body.Docs = append(body.Docs, ask{m.id, rev})
		}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	resp, err := w.Source.call(ctx, request{
		method: http.MethodPost, path: "/_bulk_get?revs=true&latest=true", ctype: "application/json",
		body: bytes.NewReader(data), length: int64(len(data)), total: longTime,
	})
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	seen := map[string]bool{} // Documents with an answer to each question so far.
	failed := map[string]bool{}
	size := 0
	s := newStream(resp.Body)
	err = s.object(func(name string) error {
		if name != "results" {
			return s.value(new(json.RawMessage), maxReply)
		}
		return s.array(func() error {
			var row struct {
				ID   string `json:"id"`
				Docs []struct {
					OK    json.RawMessage `json:"ok"`
					Error *struct {
						Error string `json:"error"`
					} `json:"error"`
				} `json:"docs"`
			}
			if err := s.value(&row, maxDoc); err != nil {
				return err
			}
			m, asked := wanted[row.ID]
			if !asked {
				return nil // What nobody has asked for.
			}
			seen[row.ID] = true
			for _, d := range row.Docs {
				switch {
				case d.OK != nil:
					k, err := w.take(ctx, m, d.OK)
					if err != nil {
						return err
					}
					if k != nil {
						if size += len(d.OK); size > keptBytes {
							k.doc = nil
						}
						later = append(later, *k)
					}
				case d.Error == nil || d.Error.Error != "not_found":
					failed[row.ID] = true
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil, w.Source.failed(err)
	}
	for _, m := range todo {
		if failed[m.id] || !seen[m.id] {
			rest = append(rest, m)
		}
	}
	return rest, later, nil
}

// openRevs asks for the revisions of one document.
func (w *writer) openRevs(ctx context.Context, m missing) (later []kept, err error) {
	list, err := json.Marshal(m.revs)
	if err != nil {
		return nil, err
	}
	q := url.Values{"open_revs": {string(list)}, "revs": {"true"}, "latest": {"true"}}
	resp, err := w.Source.call(ctx, request{method: http.MethodGet, path: docPath(m.id) + "?" + q.Encode(), total: longTime})
	if gone(err) {
		return nil, nil // The source has lost it since; it will say what came instead.
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	s := newStream(resp.Body)
	err = s.array(func() error {
		var row struct {
			OK json.RawMessage `json:"ok"`
		}
		if err := s.value(&row, maxDoc); err != nil || row.OK == nil {
			return err
		}
		k, err := w.take(ctx, m, row.OK)
		if k != nil {
			later = append(later, *k)
		}
		return err
	})
	if err != nil {
		return nil, w.Source.failed(err)
	}
	return later, nil
}

// take takes one revision that the source has sent: it goes on to the target,
// or is kept if it has attachments.
func (w *writer) take(ctx context.Context, of missing, data []byte) (*kept, error) {
	doc, err := parseMembers(data)
	if err != nil {
		return nil, w.Source.failed(errNotJSON)
	}
	var id, rev string
	if json.Unmarshal(doc.get("_id"), &id) != nil || json.Unmarshal(doc.get("_rev"), &rev) != nil || id != of.id || rev == "" {
		return nil, w.Source.failed(errNotJSON)
	}
	w.count(func(s *Stats) { s.Read++ })
	if atts := doc.get("_attachments"); atts != nil && string(atts) != "{}" {
		return &kept{id, rev, doc, of.have}, nil
	}
	return nil, w.add(ctx, item{id: id, rev: rev, data: data})
}
