package bigcouch

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// steady reads a body with a deadline that each read renews.
type steady struct{ c *call }

func (s steady) Read(b []byte) (int, error) {
	s.c.readDeadline(time.Now().Add(s.c.idle))
	n, err := s.c.r.Body.Read(b)
	if err == io.EOF {
		// What the server reads from here on is whether the client is still
		// there, and that may take as long as a feed lives.
		s.c.readDeadline(time.Time{})
	} else if err != nil {
		s.c.readDeadline(time.Now()) // The server need not wait for the rest.
	}
	return n, err
}

func (c *call) readDeadline(t time.Time) {
	_ = c.rc.SetReadDeadline(t) // Fails on a closed connection, where reading fails too.
}

var errBodyRead = badRequest("Request body could not be read")

// errLimit is the error of a body over its limit.
var errLimit = tooLarge("the request entity is too large")

// attachmentTooLarge says that of an attachment.
func attachmentTooLarge(name string) error {
	return &wireError{http.StatusRequestEntityTooLarge, "attachment_too_large", name}
}

// limited fails, unlike io.LimitReader, where the limit is crossed.
type limited struct {
	r    io.Reader
	n    int64
	over error // What it says then. Nil: errLimit.
}

func (l *limited) Read(b []byte) (int, error) {
	if int64(len(b)) > l.n+1 {
		b = b[:l.n+1]
	}
	n, err := l.r.Read(b)
	if l.n -= int64(n); l.n < 0 {
		return 0, cmp.Or(l.over, errLimit)
	}
	return n, err
}

// A translated reader says in CouchDB's words that reading failed, so that it
// is told from what fails where the bytes go.
type translated struct {
	r      io.Reader
	reason error
}

func (t translated) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if err != nil && err != io.EOF {
		err = orWire(err, t.reason)
	}
	return n, err
}

// orWire returns err if it is an answer, or else reason.
func orWire(err, reason error) error {
	if _, known := asWire(err); known {
		return err
	}
	return reason
}

// body returns the unpacked body, of limit bytes at most.
func (c *call) body(limit int64) (io.Reader, error) {
	if c.r.ContentLength > limit {
		return nil, errLimit
	}
	r, err := c.stream()
	return &limited{r: r, n: limit}, err
}

// stream returns the unpacked body, which has no limit.
func (c *call) stream() (io.Reader, error) {
	var r io.Reader = steady{c}
	switch strings.ToLower(c.r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r)
		if errors.Is(err, io.EOF) {
			return bytes.NewReader(nil), nil
		}
		if err != nil {
			return nil, badRequest("Request body is not properly gzipped.")
		}
		r = z
	default:
		return nil, errBadEncoding
	}
	return r, nil
}

// readBody reads the whole body.
func (c *call) readBody() ([]byte, error) {
	r, err := c.body(cmp.Or(c.limit, c.cfg.MaxRequestSize))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(translated{r, errBodyRead})
}

// readJSON reads a body that must be JSON and returns it compact.
func (c *call) readJSON() ([]byte, error) {
	data, err := c.readBody()
	if err != nil {
		return nil, err
	}
	return compact(data)
}

// postJSON is readJSON for a POST, where the content type matters.
func (c *call) postJSON() ([]byte, error) {
	if err := c.wantJSON(); err != nil {
		return nil, err
	}
	return c.readJSON()
}

func (c *call) wantJSON() error {
	t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || t != "application/json" {
		return errContentType
	}
	return nil
}

// decode is postJSON into v, an object.
func (c *call) decode(v any) error {
	data, err := c.postJSON()
	if err != nil {
		return err
	}
	if data[0] != '{' {
		return errNotObject
	}
	if err := json.Unmarshal(data, v); err != nil {
		return badRequest("Request body has a member of the wrong type")
	}
	return nil
}

// compact checks that data is one JSON value in UTF-8 without lone surrogates,
// and removes white space. What it returns may be data itself.
func compact(data []byte) ([]byte, error) {
	data, ok := squeeze(data)
	if !ok || !utf8.Valid(data) || loneSurrogate(data) {
		return nil, errBadJSON
	}
	return data, nil
}

// loneSurrogate reports whether a string of valid JSON has half a surrogate
// pair.
func loneSurrogate(data []byte) bool {
	for i := bytes.IndexByte(data, '\\'); i >= 0 && i+1 < len(data); {
		n := 2
		if data[i+1] == 'u' {
			n = 6
			switch unit := hex4(data[i+2:]); {
			case unit >= 0xdc00 && unit < 0xe000:
				return true
			case unit >= 0xd800 && unit < 0xdc00:
				next := data[i+6:]
				if len(next) < 6 || next[0] != '\\' || next[1] != 'u' || hex4(next[2:])&0xfc00 != 0xdc00 {
					return true
				}
				n = 12
			}
		}
		i += n
		next := bytes.IndexByte(data[i:], '\\')
		if next < 0 {
			return false
		}
		i += next
	}
	return false
}

func hex4(s []byte) (n int) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			n = n<<4 | int(c-'0')
		default:
			n = n<<4 | int(c&^0x20-'A'+10)
		}
	}
	return n
}

// flag returns a boolean of the query.
func (c *call) flag(name string) (bool, error) {
	switch v := c.query.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, queryError("Invalid boolean parameter: %q", v)
	}
}

// number returns a number of the query that is not negative.
func (c *call) number(name string, missing int) (int, error) {
	if !c.query.Has(name) {
		return missing, nil
	}
	return parseNumber(c.query.Get(name))
}
