package replicate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Peer is a database that speaks CouchDB's HTTP, on this node or elsewhere.
type Peer struct {
	transport http.RoundTripper
	url       *url.URL // Of the database, without a slash at the end.
	header    http.Header
	name      string // For people.
	uuid      func(context.Context) (string, error)
	idle      time.Duration // How long it may be silent.

	// What has been learnt about it.
	noBulkGet   bool
	noMultipart bool
}

// Local returns the peer for a database of this node, which handler serves;
// uuid tells the incarnation of the database.
func Local(name string, handler http.RoundTripper, uuid func(context.Context) (string, error)) *Peer {
	u := &url.URL{Scheme: "http", Host: "localhost", Path: "/" + name, RawPath: "/" + escape(name)}
	return &Peer{transport: handler, url: u, header: http.Header{}, name: name, uuid: uuid}
}

// Deadlines of one request as a whole.
const (
	shortTime = 2 * time.Minute  // That is answered at once.
	longTime  = 30 * time.Minute // That moves much.
)

var errIdle = errors.New("the peer was silent for too long")

// A request is one to a peer, below its database.
type request struct {
	method string
	path   string // Escaped, after the database; with the query.
	accept string // "": JSON.
	ctype  string
	body   io.Reader // Nil: none. Read once.
	length int64     // Of body; -1: unknown.
	total  time.Duration
}

// send sends a request and returns the answer, whatever its status. Only the
// headers have come; the caller closes the body, which ends the request.
func (p *Peer) send(ctx context.Context, r request) (*http.Response, error) {
	stop := context.CancelFunc(func() {})
	if r.total > 0 {
		ctx, stop = context.WithTimeout(ctx, r.total)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(nil); stop() }
	w := &watch{cancel: cancel, idle: p.idle}
	var body io.Reader
	if r.body != nil {
		body = watched{r.body, w}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://localhost/", body)
	if err != nil {
		end()
		return nil, err
	}
	path, query, _ := strings.Cut(r.path, "?")
	u := *p.url
	u.RawPath = u.EscapedPath() + path
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		end()
		return nil, errorf("bad_request", "a path that is none")
	}
	u.RawQuery = query
	req.URL, req.Host, req.ContentLength = &u, "", r.length
	maps.Copy(req.Header, p.header)
	req.Header.Set("User-Agent", "LEAP-Replicator/1.0")
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if r.ctype != "" {
		req.Header.Set("Content-Type", r.ctype)
	}
	w.start()
	resp, err := p.transport.RoundTrip(req)
	w.stop()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errIdle) {
			err = cause
		}
		end()
		return nil, err
	}
	resp.Body = &answer{resp.Body, ctx, w, end}
	return resp, nil
}

// call sends a request and wants success; any other answer is an [*Error].
func (p *Peer) call(ctx context.Context, r request) (*http.Response, error) {
	resp, err := p.send(ctx, r)
	if err != nil {
		return nil, p.failed(err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, p.refused(resp)
}

// failed says which peer could not be talked to. The errors of net have
// addresses in them, and no more.
func (p *Peer) failed(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("asking %s: %w", p.name, err)
}

// refused reads an answer that is not success.
func (p *Peer) refused(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Name: noName, Reason: http.StatusText(resp.StatusCode)}
	var body struct{ Error, Reason string }
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && json.Unmarshal(data, &body) == nil && body.Error != "" {
		e.Name, e.Reason = cut(body.Error), cut(body.Reason)
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		e.Name = "unauthorized"
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Reason = "the peer redirects, which is not followed"
	}
	e.Reason = p.name + ": " + e.Reason
	return e
}

// cut keeps what a peer says short.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 512)], "?") }

// json sends a request with a JSON body, if it is not nil, and reads a JSON
// answer of at most limit bytes.
func (p *Peer) json(ctx context.Context, method, path string, in, out any, limit int64) error {
	r := request{method: method, path: path, total: shortTime}
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.body, r.length, r.ctype = bytes.NewReader(data), int64(len(data)), "application/json"
	}
	resp, err := p.call(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(&meter{r: resp.Body, left: limit})
	if err == nil && out != nil {
		if err = json.Unmarshal(data, out); err != nil {
			err = errNotJSON // Its own text may quote what a peer has sent.
		}
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

var errNotJSON = errors.New("the answer is not the JSON that was expected")

// A watch ends a request that does not move while somebody waits for it.
type watch struct {
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

func (w *watch) start() {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.idle, func() { w.cancel(errIdle) })
		return
	}
	w.timer.Reset(w.idle)
}

func (w *watch) stop() { w.timer.Stop() }

// watched is a body that we send: as long as it is taken, the request moves.
type watched struct {
	io.Reader
	w *watch
}

func (b watched) Read(p []byte) (int, error) {
	b.w.timer.Reset(b.w.idle)
	return b.Reader.Read(p)
}

// answer is a body that we read.
type answer struct {
	io.ReadCloser
	ctx context.Context // Of the request: it says why a read has failed.
	w   *watch
	end context.CancelFunc
}

func (a *answer) Read(p []byte) (int, error) {
	a.w.start()
	n, err := a.ReadCloser.Read(p)
	a.w.stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(a.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (a *answer) Close() error {
	a.end()
	return a.ReadCloser.Close()
}

// A meter fails where more than left bytes come.
type meter struct {
	r    io.Reader
	left int64
}

func (m *meter) Read(b []byte) (int, error) {
	if int64(len(b)) > m.left+1 {
		b = b[:m.left+1]
	}
	n, err := m.r.Read(b)
	if m.left -= int64(n); m.left < 0 {
		return 0, errorf("too_large", "the answer of the peer has no end")
	}
	return n, err
}
