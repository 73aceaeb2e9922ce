package bigcouch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"leap.example/services/bigcouch/spread"
)

// A demand is a request to one part of the database.
type demand struct {
	method  string
	path    []string // Below the database.
	query   url.Values
	body    []byte
	media   string // Of the body. "": JSON.
	match   string // If-Match.
	accept  string // "": JSON.
	designs string // See partRef.
	most    int64  // Bytes of an answer that is read to its end. 0: any.
	fresh   bool   // What was acknowledged before must be in view.
	as      *user  // Nil: the user of the request.
}

// withheld are headers of the client that are not for parts.
var withheld = []string{
	"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Destination",
	"If-Match", "If-None-Match", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", partRefHeader, asHeader,
}

// demand sends a request to part i. The answer's body must be closed.
func (c *call) demand(ctx context.Context, i int, d demand) (*http.Response, error) {
	var path strings.Builder
	path.WriteString("http://localhost")
	for _, element := range append([]string{c.db.Name}, d.path...) {
		path.WriteString("/" + url.QueryEscape(element))
	}
	if len(d.query) > 0 {
		path.WriteString("?" + d.query.Encode())
	}
	ctx = context.WithValue(ctx, partKey{}, partRef{c.db.ID, i, d.designs})
	req, err := http.NewRequestWithContext(ctx, d.method, path.String(), bytes.NewReader(d.body))
	if err != nil {
		return nil, err
	}
	req.Header = c.r.Header.Clone()
	for _, name := range withheld {
		req.Header.Del(name)
	}
	req.Header.Set("Accept", cmp.Or(d.accept, typeJSON))
	if d.body != nil {
		req.Header.Set("Content-Type", typeJSON)
	}
	if d.media != "" {
		req.Header.Set("Content-Type", d.media)
	}
	if d.match != "" {
		req.Header.Set("If-Match", d.match)
	}
	if d.fresh {
		req.Header.Set("X-Leap-Fresh", "true")
	}
	as := c.user
	if d.as != nil {
		as = *d.as
		req.Header.Del("X-Leap-Op") // That is the client's.
	}
	resp, err := inProcess{c.node, as}.RoundTrip(req)
	if err != nil {
		return nil, partLost(err)
	}
	return resp, nil
}

// partLost is what the client sees when a part has not answered to the end.
func partLost(err error) error {
	if _, known := asWire(err); known || errors.Is(err, context.Canceled) {
		return err
	}
	return unavailable("A part of the database did not answer.")
}

// failure reads an answer that is none of success as the error that it was.
func failure(resp *http.Response) error {
	var e struct{ Error, Reason string }
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(data, &e) != nil {
		return partLost(io.ErrUnexpectedEOF)
	}
	return &wireError{resp.StatusCode, e.Error, e.Reason}
}

// hear sends a demand and reads the answer to its end.
func (c *call) hear(ctx context.Context, i int, d demand) (*http.Response, []byte, error) {
	resp, err := c.demand(ctx, i, d)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, nil, failure(resp)
	}
	var r io.Reader = resp.Body
	if d.most > 0 {
		r = &limited{r: r, n: d.most}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, partLost(err)
	}
	return resp, data, nil
}

// hearAll sends a demand to each part for which there is one, at once, and reads
// the answers to their ends. The error is that of the first part that has one.
func (c *call) hearAll(demands map[int]demand) (map[int][]byte, error) {
	answers, errs := make([][]byte, c.parts()), make([]error, c.parts())
	var wg sync.WaitGroup
	for i, d := range demands {
		wg.Go(func() { _, answers[i], errs[i] = c.hear(c.ctx(), i, d) })
	}
	wg.Wait()
	all := map[int][]byte{}
	for i := range demands {
		all[i] = answers[i]
	}
	return all, firstOf(errs)
}

// firstOf returns the first error.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// parts is how many parts the database has.
func (c *call) parts() int { return len(c.db.Shards) }

// everyPart returns the same demand for each part.
func (c *call) everyPart(d demand) map[int]demand {
	all := map[int]demand{}
	for i := range c.parts() {
		all[i] = d
	}
	return all
}

// partRows is a list that a part is about to send.
type partRows struct {
	*spread.Rows
	part int
	body io.Closer
}

// next returns the next element; nil behind the last one.
func (r *partRows) next() (json.RawMessage, error) {
	row, err := r.Next()
	if err != nil {
		err = partLost(err)
	}
	return row, err
}

// open sends a demand for a list.
func (c *call) open(ctx context.Context, i int, list string, d demand) (*partRows, error) {
	resp, err := c.demand(ctx, i, d)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, errors.Join(failure(resp), resp.Body.Close())
	}
	rows, err := spread.Read(resp.Body, list)
	if err != nil {
		_ = resp.Body.Close() // The error is said.
		return nil, partLost(err)
	}
	return &partRows{rows, i, resp.Body}, nil
}

// openAll opens the lists of the parts for which there is a demand, in order of
// the parts. The caller ends them.
func (c *call) openAll(list string, demands map[int]demand) (all []*partRows, end func(), err error) {
	opened, errs := make([]*partRows, c.parts()), make([]error, c.parts())
	var wg sync.WaitGroup
	for i, d := range demands {
		wg.Go(func() { opened[i], errs[i] = c.open(c.ctx(), i, list, d) })
	}
	wg.Wait()
	all = slices.DeleteFunc(opened, func(r *partRows) bool { return r == nil })
	end = func() {
		for _, r := range all {
			_ = r.body.Close() // What was needed has been read.
		}
	}
	if err := firstOf(errs); err != nil {
		end()
		return nil, nil, err
	}
	return all, end, nil
}

// without returns a copy of the parameters of the request without some.
func without(query url.Values, names ...string) url.Values {
	q := maps.Clone(query)
	for _, name := range names {
		q.Del(name)
	}
	return q
}

// relay passes the answer of a part on. What was made lies at a path.
func (c *call) relay(resp *http.Response, at string) error {
	h := c.w.Header()
	for name, values := range resp.Header {
		if !strings.HasPrefix(name, "Access-Control-") {
			h[name] = values
		}
	}
	if at != "" && h.Get("Location") != "" {
		h.Set("Location", at)
	}
	w := passing{c}
	w.WriteHeader(resp.StatusCode)
	if c.r.Method == http.MethodHead {
		return nil
	}
	_, err := io.Copy(w, resp.Body)
	return err
}
