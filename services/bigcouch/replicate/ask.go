package replicate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Limits of answers, in bytes.
const (
	maxReply  = 4 << 20   // Of a small request.
	maxChange = 16 << 20  // Of one row of _changes.
	maxDoc    = 128 << 20 // Of one document with what it has inline.
	maxDiff   = 128 << 20 // Of _revs_diff, whose request has maxBatch documents.
)

// open reports whether the database is there and may be read.
func (p *Peer) open(ctx context.Context) error {
	err := p.json(ctx, http.MethodGet, "", nil, nil, maxReply)
	if status(err) == http.StatusNotFound {
		return &Error{http.StatusNotFound, "db_not_found", "could not open " + p.name}
	}
	return err
}

// create makes the database, unless it is there.
func (p *Peer) create(ctx context.Context, params map[string]string) error {
	q := url.Values{}
	for name, value := range params {
		q.Set(name, value)
	}
	path := ""
	if len(q) > 0 {
		path = "?" + q.Encode()
	}
	err := p.json(ctx, http.MethodPut, path, nil, nil, maxReply)
	if status(err) == http.StatusPreconditionFailed {
		return nil
	}
	return err
}

// local reads a local document; a missing one is nil.
func (p *Peer) local(ctx context.Context, id string, to any) (found bool, err error) {
	err = p.json(ctx, http.MethodGet, "/_local/"+id, nil, to, maxReply)
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// A change is one row of _changes.
type change struct {
	Seq     json.RawMessage `json:"seq"`
	ID      string          `json:"id"`
	Changes []struct {
		Rev string `json:"rev"`
	} `json:"changes"`
}

// A page is what one request for changes has brought.
type page struct {
	rows    []change
	last    json.RawMessage // Sequence behind it.
	pending *int64          // Changes behind it, where the peer says.
	whole   bool            // There was no more at that moment.
}

// changes asks for changes behind since, limit of them at most. With wait it
// comes back when there are any.
func (p *Peer) changes(ctx context.Context, r *Request, since json.RawMessage, limit int, wait bool) (*page, error) {
	q := url.Values{"style": {"all_docs"}, "limit": {strconv.Itoa(limit)}, "feed": {"normal"}, "since": {seqText(since)}}
	if r.WinningOnly {
		q.Set("style", "main_only")
	}
	req := request{method: http.MethodGet, total: longTime}
	if wait {
		q.Set("feed", "longpoll")
		q.Set("heartbeat", strconv.FormatInt((p.idle/3).Milliseconds(), 10))
		req.total = 0
	}
	for name, value := range r.QueryParams {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	var body any
	switch {
	case r.DocIDs != nil:
		q.Set("filter", "_doc_ids")
		body = map[string]any{"doc_ids": r.DocIDs}
	case r.Selector != nil:
		q.Set("filter", "_selector")
		body = map[string]any{"selector": r.Selector}
	case r.Filter != "":
		q.Set("filter", r.Filter)
	}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		req.method, req.body, req.length, req.ctype = http.MethodPost, bytes.NewReader(data), int64(len(data)), "application/json"
	}
	req.path = "/_changes?" + q.Encode()
	resp, err := p.call(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	pg, err := readPage(resp.Body, limit)
	if err != nil {
		return nil, p.failed(err)
	}
	if pg.last == nil {
		pg.last = since
	}
	return pg, nil
}

// readPage reads the answer of _changes, of which no more than limit rows are
// of interest: some peers know no limit.
func readPage(r io.Reader, limit int) (*page, error) {
	s := newStream(r)
	pg := &page{}
	err := s.object(func(name string) error {
		switch name {
		case "results":
			return s.array(func() error {
				if len(pg.rows) == limit {
					return errEnough
				}
				var c change
				if err := s.value(&c, maxChange); err != nil {
					return err
				}
				pg.rows = append(pg.rows, c)
				pg.last = c.Seq
				return nil
			})
		case "last_seq":
			return s.value(&pg.last, maxReply)
		case "pending":
			return s.value(&pg.pending, maxReply)
		}
		return s.value(new(json.RawMessage), maxReply)
	})
	if errors.Is(err, errEnough) {
		return pg, nil
	}
	pg.whole = len(pg.rows) < limit
	return pg, err
}

// seqText returns a sequence as a query names it.
func seqText(seq json.RawMessage) string {
	var text string
	if json.Unmarshal(seq, &text) == nil {
		return text
	}
	return string(seq)
}

// A diff is what the target lacks of a document.
type diff struct {
	Missing   []string `json:"missing"`
	Ancestors []string `json:"possible_ancestors"`
}

// revsDiff asks which revisions are not here.
func (p *Peer) revsDiff(ctx context.Context, revs map[string][]string) (map[string]diff, error) {
	var out map[string]diff
	return out, p.json(ctx, http.MethodPost, "/_revs_diff", revs, &out, maxDiff)
}

// commit makes what was written durable, where that is not so anyway.
func (p *Peer) commit(ctx context.Context) error {
	err := p.json(ctx, http.MethodPost, "/_ensure_full_commit", struct{}{}, nil, maxReply)
	if s := status(err); s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
		return nil // Newer servers need not have it.
	}
	return err
}

// docPath returns the path of a document.
func docPath(id string) string {
	if name, ok := strings.CutPrefix(id, "_design/"); ok {
		return "/_design/" + escape(name)
	}
	return "/" + escape(id)
}

// escape escapes all but letters, digits and "-_.~": CouchDB takes a plus for a
// space.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
