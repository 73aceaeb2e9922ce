package bigcouch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// identity is the key of a context that says whom a request of this process is
// from. No request of a client has it.
type identity struct{}

// inProcess sends requests to the node's own handler, without a socket, as a
// user that is authenticated already.
type inProcess struct {
	n  *node
	as user
}

// RoundTrip implements http.RoundTripper. The answer's body must be closed; that
// waits for the handler.
func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithValue(req.Context(), identity{}, p.as))
	r := req.Clone(ctx)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RemoteAddr, r.Host = "in process", "localhost"
	out, in := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: in, begun: make(chan struct{})}
	// A reader waits no longer than ctx lasts, whatever the handler does.
	unwatch := context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	done := make(chan struct{})
	go func() { // Ended by whoever closes the body.
		defer close(done)
		in.CloseWithError(p.serve(w, r))
	}()
	end := func() error {
		cancel()
		err := out.Close()
		<-done
		unwatch()
		return errors.Join(err, r.Body.Close())
	}
	select {
	case <-w.begun:
		return &http.Response{
			StatusCode: w.status, Header: w.sent, Body: &pipeBody{out, end}, ContentLength: -1, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	case <-done:
	case <-ctx.Done():
	}
	if err := errors.Join(req.Context().Err(), end()); err != nil {
		return nil, err
	}
	select {
	case <-w.begun: // An answer without a body: both were ready.
		return &http.Response{StatusCode: w.status, Header: w.sent, Body: http.NoBody, Request: req}, nil
	default:
		return nil, errUnavailable
	}
}

// serve calls the handler and returns how its answer ends: io.EOF, or an error
// if it was cut.
func (p inProcess) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		v := recover()
		if v != nil {
			err = io.ErrUnexpectedEOF
		}
		if v != nil && v != http.ErrAbortHandler {
			p.n.log.Error("a handler has panicked", "panic", fmt.Sprint(v))
		}
	}()
	p.n.ServeHTTP(w, r)
	return io.EOF
}

// pipeBody is the body of an answer.
type pipeBody struct {
	*io.PipeReader
	end func() error
}

// Close implements io.Closer.
func (b *pipeBody) Close() error { return b.end() }

// pipeWriter is what a handler writes to.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // Closed when status and sent are there.
	status int
	sent   http.Header
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements http.Flusher: nothing is kept back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }
