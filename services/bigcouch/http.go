package bigcouch

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"leap.example/services/bigcouch/store"
)

// A call is one request on its way.
type call struct {
	*node
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	path  []string // Unescaped elements.
	query url.Values
	user  user
	db    *store.Database // Of a path that names one that is there.
	ref   partRef         // Of a request for a part of it.
	out   *bufio.Writer   // Non-nil once the answer has begun.
	sent  bool            // Something of it has left.
	limit int64           // Of the body, bytes; 0: MaxRequestSize.
	feed  bool            // The answer takes as long as the client likes.
}

func (c *call) ctx() context.Context { return c.r.Context() }

// ServeHTTP answers one request.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !n.gate.TryRLock() {
		return // The node has stopped already.
	}
	defer n.gate.RUnlock()
	begun := time.Now()
	cw := &counted{ResponseWriter: w}
	w = cw
	c := &call{node: n, w: w, r: r, rc: http.NewResponseController(w)}
	defer func() {
		if r.Context().Value(partKey{}) == nil { // That is no request of a client.
			n.metrics.count(r.Method, cmp.Or(cw.status, http.StatusOK), time.Since(begun), c.feed)
		}
	}()
	c.writeDeadline() // That of the connection's former request may have passed.
	if r.ContentLength != 0 {
		c.readDeadline(time.Now().Add(c.idle)) // Also for a body that nobody reads.
	}
	err := c.serve()
	if err == nil {
		return
	}
	e, known := asWire(err)
	if !known && r.Context().Err() == nil {
		n.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "err", err)
	}
	if c.sent {
		panic(http.ErrAbortHandler) // Half an answer must not look like a whole one.
	}
	w.Header().Del("ETag")
	w.Header().Del("Location")
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	c.reply(e.status, struct {
		Error  string `json:"error"`
		Reason string `json:"reason"`
	}{e.name, e.reason})
}

// serve authenticates and dispatches. An error is an answer not yet written.
func (c *call) serve() (err error) {
	if c.cors() {
		return nil
	}
	if c.path, err = splitPath(c.r.URL.EscapedPath()); err != nil {
		return err
	}
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return badRequest("Invalid query string")
	}
	if err := c.recently(); err != nil {
		return err
	}
	if c.user, err = c.authenticate(); err != nil {
		return err
	}
	return c.route()
}

// reply writes a JSON answer.
func (c *call) reply(status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"internal_server_error","reason":"unencodable answer"}`)
	}
	c.replyRaw(status, data)
}

// replyRaw writes an answer that is JSON already.
func (c *call) replyRaw(status int, data []byte) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "must-revalidate")
	h.Set("Content-Length", strconv.Itoa(len(data)+1))
	c.writeDeadline()
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		c.w.Write(append(data, '\n')) // A broken connection has nowhere to report to.
	}
}

var okReply = map[string]bool{"ok": true}

// begin begins an answer of unknown length.
func (c *call) begin(contentType string) *bufio.Writer {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "must-revalidate")
	c.out = bufio.NewWriterSize(patient{c}, 16<<10)
	return c.out
}

// end ends it. The error is that of a connection, which is cut.
func (c *call) end() error { return c.out.Flush() }

// flush sends what there is of the answer.
func (c *call) flush() error {
	c.writeDeadline()
	c.sent = true
	return errors.Join(c.out.Flush(), c.rc.Flush())
}

func (c *call) writeDeadline() {
	_ = c.rc.SetWriteDeadline(time.Now().Add(c.idle)) // Fails on a closed connection, where writing fails too.
}

// patient writes to a client with a deadline that each write renews.
type patient struct{ c *call }

func (p patient) Write(b []byte) (int, error) {
	p.c.writeDeadline()
	p.c.sent = true
	return p.c.w.Write(b)
}
