package replicate

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// pieces are a body that is put together while it is sent. Its attachments are
// asked for when their turn comes.
type pieces struct {
	length int64

	mu      sync.Mutex // Guards the rest: whoever sends may go on reading when the answer is here.
	readers []io.Reader
	rest    io.Reader // Nil before the first read.
	closed  bool
}

func newPieces() *pieces { return &pieces{} }

func (b *pieces) text(s string) { b.add(strings.NewReader(s), int64(len(s))) }

func (b *pieces) add(r io.Reader, n int64) {
	b.readers, b.length = append(b.readers, r), b.length+n
}

func (b *pieces) append(o *pieces) {
	b.readers, b.length = append(b.readers, o.readers...), b.length+o.length
}

// Read implements io.Reader.
func (b *pieces) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.rest == nil {
		b.rest = io.MultiReader(b.readers...)
	}
	return b.rest.Read(p)
}

// failure returns why an attachment could not be read: what the target says
// about half a body does not count.
func (b *pieces) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.readers {
		if a := attachmentOf(r); a != nil && a.err != nil && a.err != io.EOF {
			return a.err
		}
	}
	return nil
}

// close ends what has been begun. Nothing is read afterwards.
func (b *pieces) close() (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, r := range b.readers {
		if a := attachmentOf(r); a != nil && a.body != nil {
			err = errors.Join(err, a.body.Close())
			a.body = nil
		}
	}
	return err
}

func attachmentOf(r io.Reader) *attachment {
	if e, ok := r.(*encoding); ok {
		r = e.r
	}
	a, _ := r.(*attachment)
	return a
}

// An attachment reads one from the source, exactly as many bytes as its
// document says.
type attachment struct {
	open func() (*http.Response, error)
	name string // Of the source.
	left int64
	body io.ReadCloser // Nil until the first read.
	err  error
}

// attachment returns the bytes of one attachment, not yet asked for.
func (w *writer) attachment(ctx context.Context, id, rev string, s stub) *attachment {
	var names []string
	for part := range strings.SplitSeq(s.name, "/") {
		names = append(names, escape(part))
	}
	r := request{
		method: http.MethodGet, path: docPath(id) + "/" + strings.Join(names, "/") + "?rev=" + url.QueryEscape(rev), accept: "*/*",
	}
	return &attachment{open: func() (*http.Response, error) { return w.Source.call(ctx, r) }, name: w.Source.name, left: *s.Length}
}

// A lostError says that an attachment could not be read.
type lostError struct {
	name string // Of the source.
	err  error
}

func (e *lostError) Error() string {
	return "reading an attachment from " + e.name + ": " + e.err.Error()
}

func (e *lostError) Unwrap() error { return e.err }

// Read implements io.Reader.
func (a *attachment) Read(b []byte) (n int, err error) {
	if a.err != nil {
		return 0, a.err
	}
	defer func() {
		if err != nil && err != io.EOF {
			err = &lostError{a.name, err}
		}
		a.err = err
	}()
	if a.body == nil {
		resp, err := a.open()
		if err != nil {
			return 0, err
		}
		a.body = resp.Body
	}
	if int64(len(b)) > a.left+1 {
		b = b[:a.left+1] // One more: the end must be here.
	}
	n, err = a.body.Read(b)
	a.left -= int64(n)
	switch {
	case a.left < 0:
		return 0, errors.New("longer than its document says")
	case err == io.EOF && a.left > 0:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// encoding is what it reads in base64.
type encoding struct {
	r   io.Reader
	buf []byte // Encoded, not yet taken.
	err error
}

// Read implements io.Reader.
func (e *encoding) Read(b []byte) (int, error) {
	if len(e.buf) == 0 && e.err == nil {
		raw := make([]byte, 48<<10) // A multiple of three.
		n, err := io.ReadFull(e.r, raw)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF // Of ReadFull: an attachment says more where it ends too early.
		}
		e.err = err
		if err == nil || err == io.EOF {
			e.buf = base64.StdEncoding.AppendEncode(nil, raw[:n])
		}
	}
	n := copy(b, e.buf)
	if e.buf = e.buf[n:]; len(e.buf) == 0 && e.err != nil {
		return n, e.err
	}
	return n, nil
}
