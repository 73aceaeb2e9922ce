package smtpline

import (
	"io"

	"leap.example/services/protocol/problem"
)

// What a Reader refuses. Each is a problem.Invalid.
var (
	ErrBareCR = problem.Invalid.Errorf("carriage return without line feed")
	ErrBareLF = problem.Invalid.Errorf("line feed without carriage return")
	ErrNUL    = problem.Invalid.Errorf("NUL octet")
	ErrLine   = problem.Invalid.Errorf("line too long")
	ErrHeader = problem.Invalid.Errorf("header too large")
	ErrSize   = problem.Invalid.Errorf("message too large")
)

// Limits bound a message, in octets. Zero is no limit.
type Limits struct {
	Line   int   // Of a line without its CRLF. RFC 5321, 4.5.3.1.6 demands 998 at least.
	Header int64 // Of the header with the empty line after it.
	Size   int64 // Of all of it.
}

// A Reader reads a message and checks its lines. It gives out no octet of a
// piece in which it finds a fault; after a fault it gives that for ever. The
// last line may lack its CRLF, as BDAT allows.
type Reader struct {
	r      io.Reader
	l      Limits
	err    error
	cr     bool  // The previous octet is CR.
	body   bool  // The empty line has passed.
	line   int   // Octets of the line so far, without CR.
	header int64 // Octets of the header so far.
	size   int64
}

// NewReader returns a Reader of the message that r gives.
func NewReader(r io.Reader, l Limits) *Reader { return &Reader{r: r, l: l} }

// Read reads up to len(p) octets. Its error is one of this package's, or that
// of the reader below.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if fault := r.check(p[:n]); fault != nil {
		r.err = fault
		return 0, fault
	}
	if err == io.EOF && r.cr {
		err = ErrBareCR
	}
	r.err = err
	return n, err
}

func (r *Reader) check(p []byte) error {
	if r.size += int64(len(p)); r.l.Size > 0 && r.size > r.l.Size {
		return ErrSize
	}
	for _, c := range p {
		if !r.body {
			if r.header++; r.l.Header > 0 && r.header > r.l.Header {
				return ErrHeader
			}
		}
		switch {
		case c == '\n' && !r.cr:
			return ErrBareLF
		case c == '\n':
			r.body = r.body || r.line == 0
			r.cr, r.line = false, 0
			continue
		case r.cr:
			return ErrBareCR
		case c == '\r':
			r.cr = true
			continue
		case c == 0:
			return ErrNUL
		}
		if r.line++; r.l.Line > 0 && r.line > r.l.Line {
			return ErrLine
		}
	}
	return nil
}
