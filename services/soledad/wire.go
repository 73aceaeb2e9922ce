package soledad

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"leap.example/services/protocol/u1db"
)

// errClient marks what went wrong because the client stopped sending or
// taking.
var errClient = errors.New("the client broke off")

// A response is a connection's answering side. The client has some time for each
// read and write, up to the end of the whole request. None runs while the server
// itself is waited for: over HTTP/2 one that has run out ends the stream, and with
// it the answer that the database is not available.
type response struct {
	http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	ends     time.Time
	started  bool
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.started = true
	w.extend()
	n, err := w.ResponseWriter.Write(p)
	w.deadline(time.Time{})
	if err != nil {
		err = fmt.Errorf("%w: %w", errClient, err)
	}
	return n, err
}

// extend moves both deadlines of the connection.
func (w *response) extend() {
	t := time.Now().Add(w.patience)
	if t.After(w.ends) {
		t = w.ends
	}
	w.deadline(t)
}

// deadline sets both deadlines of the connection. That may only fail on a
// connection that is gone, whose reads and writes fail as well.
func (w *response) deadline(t time.Time) {
	_ = w.rc.SetReadDeadline(t)
	_ = w.rc.SetWriteDeadline(t)
}

// A body is a request's body. Every read extends the time that the client has
// for the next one.
type body struct {
	r io.Reader
	w *response
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.w.extend()
	n, err := b.r.Read(p)
	b.w.deadline(time.Time{})
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case tooLarge(err):
		return n, fmt.Errorf("%w: %w", u1db.ErrDocumentTooBig, err)
	}
	return n, fmt.Errorf("%w: %w", errClient, err)
}

func tooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}
