package u1db

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// lines reads a JSON array that has one element per line: "[", elements that
// all but the last end in a comma, "]". Lines end in CR LF, the last one need
// not (leap-protocols.md 7.4, step 3).
type lines struct {
	r     *bufio.Reader
	limit int // Of a line, bytes.
	more  bool
}

func newLines(r io.Reader, limit int) (*lines, error) {
	l := &lines{r: bufio.NewReader(r), limit: limit, more: true}
	first, err := l.line()
	if err != nil {
		return nil, err
	}
	if string(first) != "[" {
		return nil, bad("no opening bracket")
	}
	return l, nil
}

// next returns the next element without its comma, valid until the next call;
// io.EOF after the closing bracket. An element may be empty.
func (l *lines) next() ([]byte, error) {
	text, err := l.line()
	if err != nil {
		return nil, err
	}
	if l.more {
		text, l.more = bytes.CutSuffix(text, []byte(","))
		return text, nil
	}
	if string(text) != "]" {
		return nil, bad("an element without a comma before it")
	}
	switch _, err := l.r.ReadByte(); err {
	case io.EOF:
		return nil, io.EOF
	case nil:
		return nil, bad("data after the closing bracket")
	default:
		return nil, fmt.Errorf("reading the stream: %w", err)
	}
}

// line returns the next line without CR LF.
func (l *lines) line() ([]byte, error) {
	var long []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if len(long)+len(part) > l.limit+len(",\r\n") {
			return nil, fmt.Errorf("line of more than %d bytes: %w", l.limit, ErrDocumentTooBig)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
		case err == io.EOF && !l.more && string(part) == "]" && long == nil:
			return part, nil
		case err == io.EOF:
			return nil, fmt.Errorf("%w: stream cut off: %w", ErrBadRequest, io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("reading the stream: %w", err)
		default:
			if long != nil {
				part = append(long, part...)
			}
			text, ok := bytes.CutSuffix(part, []byte("\r\n"))
			if !ok {
				return nil, bad("a line without carriage return")
			}
			return text, nil
		}
	}
}

func bad(why string) error { return fmt.Errorf("%s: %w", why, ErrBadRequest) }

// first reads the header or result line into v.
func (l *lines) first(v any) error {
	text, err := l.next()
	if err == io.EOF {
		return bad("no header")
	}
	if err != nil {
		return err
	}
	return element(text, v)
}

// end fails unless the array ends here.
func (l *lines) end() error {
	_, err := l.next()
	switch err {
	case io.EOF:
		return nil
	case nil:
		return bad("an element too many")
	}
	return err
}

// element decodes one line into v. An object with the member "error" is the
// refusal that it names.
func element(text []byte, v any) error {
	var refusal struct {
		Error json.RawMessage `json:"error"`
	}
	if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, v) != nil {
		return bad("an element that is not understood")
	}
	if bytes.Contains(text, []byte(`error`)) && json.Unmarshal(text, &refusal) == nil && refusal.Error != nil {
		return fmt.Errorf("the stream carries a refusal: %w", ErrorOf(503, text))
	}
	return nil
}

// validContent reports whether s can stand on a line of its own: a JSON object
// without line breaks, in UTF-8.
func validContent(s []byte) bool {
	return len(s) > 1 && s[0] == '{' && s[len(s)-1] == '}' && !bytes.ContainsAny(s, "\r\n") && utf8.Valid(s) && json.Valid(s)
}
