package soledad

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	patience    = 30 * time.Second // For one read or write of a connection to make progress.
	requestTime = time.Hour        // For a whole request.
)

// A call is one request of a user.
type call struct {
	*http.Request
	target
	authenticated string // Who asks.
	w             *response
	body          *bufio.Reader // Limited in size and time.
}

// A method serves one method of a resource. It writes the answer itself, or
// returns an error before it has written anything; an error after that leaves
// the answer visibly unfinished.
type method func(c *call) error

// methods lists what is served, until stop is done.
func (s *Server) methods(stop context.Context) map[resource]map[string]method {
	return map[resource]map[string]method{
		sharedDB:   {"GET": func(c *call) error { return c.json(http.StatusOK, struct{}{}) }},
		sharedDoc:  {"GET": s.getShared, "PUT": s.putShared, "DELETE": s.deleteShared},
		syncFrom:   {"GET": s.syncInfo, "PUT": s.syncDone, "POST": s.sync},
		keyringDoc: {"GET": s.getKeyring, "PUT": s.putKeyring},
		notify:     {"GET": func(c *call) error { return s.notify(stop, c) }},
		queue:      {"GET": s.listQueue},
		queueEntry: {"GET": s.getQueue, "DELETE": s.deleteQueue},
		blobList:   {"GET": s.listBlobs},
		blob:       {"GET": s.getBlob, "PUT": s.putBlob, "POST": s.flagBlob, "DELETE": s.deleteBlob},
		blobStream: {"POST": s.streamBlobs},
	}
}

// handler returns the whole server as one handler, whose long waits end with
// ctx.
func (s *Server) handler(ctx context.Context) http.Handler {
	methods := s.methods(ctx)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &response{ResponseWriter: rw, rc: http.NewResponseController(rw), patience: s.patience, ends: time.Now().Add(requestTime)}
		c := &call{Request: r, target: parsePath(r.URL.Path), w: w}
		// 64 KiB is also what the reader of a stream takes as it is.
		c.body = bufio.NewReaderSize(&body{r: http.MaxBytesReader(rw, r.Body, s.cfg.MaxSync), w: w}, 64<<10)
		w.deadline(time.Time{}) // None is left of a request before it.
		defer w.extend()        // For what is sent and read once this returns.
		if err := s.serve(c, methods); err != nil {
			s.fail(c, err)
		}
	})
}

// serve finds who asks and what for.
func (s *Server) serve(c *call, methods map[resource]map[string]method) error {
	switch {
	case c.resource == root && c.Method == http.MethodGet:
		return c.json(http.StatusOK, u1db.Greeting{Blobs: true, Version: version, Ext: []string{"keyring", "notify", "newest", "incoming"}})
	case c.resource == robots && c.Method == http.MethodGet:
		return c.text(http.StatusOK, "User-agent: *\nDisallow: /\n")
	case methods[c.resource] == nil:
		return u1db.ErrUnauthorized // leap-protocols.md 7.1: a path that no rule allows.
	}
	user, err := s.authenticate(c.Context(), c.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	c.authenticated = user
	if c.user != "" && c.user != user {
		return problem.Permission.Errorf("this belongs to another user")
	}
	f := methods[c.resource][c.Method]
	if f == nil {
		allow := make([]string, 0, 4)
		for m := range methods[c.resource] {
			allow = append(allow, m)
		}
		slices.Sort(allow)
		c.w.Header().Set("Allow", strings.Join(allow, ", "))
		return c.text(http.StatusMethodNotAllowed, "Method Not Allowed\n")
	}
	return f(c)
}

// fail answers a request that failed, if nothing was answered yet, and is the
// only place that logs.
func (s *Server) fail(c *call, err error) {
	kind := problem.KindOf(err)
	ours := (kind == problem.Internal || kind == problem.Unavailable) && !errors.Is(err, errClient) && c.Context().Err() == nil
	if ours {
		s.log.ErrorContext(c.Context(), "request failed", "resource", string(c.resource), "method", c.Method, "err", err)
	}
	if c.w.started {
		return
	}
	var word *u1db.WordError
	switch {
	case kind == problem.Unauthenticated:
		// leap-protocols.md 7.1: text; 7.4 step 6: words, for a sync.
		if errors.Is(err, errMayNotCreate) {
			_ = c.json(http.StatusUnauthorized, map[string]string{"error": u1db.ErrUnauthorized.Words})
			return
		}
		_ = c.text(http.StatusUnauthorized, "Unauthorized")
		return
	case kind == problem.Permission:
		c.w.Header().Set("Content-Type", problem.ContentType)
		_ = c.write(http.StatusForbidden, problem.DocumentOf(err))
		return
	case errors.Is(err, errClient):
		word = u1db.ErrBadRequest
	default:
		word = u1db.WordsOf(err)
	}
	if word == u1db.ErrUnavailable {
		c.w.Header().Set("Retry-After", "10")
	}
	_ = c.json(word.Status, map[string]string{"error": word.Words}) // A broken connection has nowhere to report to.
}

// json answers with v.
func (c *call) json(status int, v any) error {
	c.w.Header().Set("Content-Type", "application/json")
	return c.write(status, v)
}

func (c *call) write(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.octets(status, b)
}

// text answers with a line of text.
func (c *call) text(status int, line string) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return c.octets(status, []byte(line))
}

// octets answers with a body whose type was set.
func (c *call) octets(status int, b []byte) error {
	c.w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	c.w.WriteHeader(status)
	_, err := c.w.Write(b)
	return err
}

// read reads a whole body of at most limit bytes.
func (c *call) read(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(c.body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, u1db.ErrDocumentTooBig
	}
	return b, nil
}
