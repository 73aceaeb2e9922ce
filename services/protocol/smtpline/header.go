package smtpline

import (
	"bytes"
	"io"
	"mime"
	"net/mail"
	"strings"

	"leap.example/services/protocol/problem"
)

// A Field is one field of a header, RFC 5322, 2.2.
type Field struct {
	Name string // As it was written.
	Raw  []byte // All octets: name, colon, folded value, final CRLF.
}

// Is reports whether f has the name, in any case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// Value returns what stands behind the colon, unfolded (RFC 5322, 2.2.3) and
// without white space around it.
func (f Field) Value() string {
	_, v, _ := bytes.Cut(f.Raw, []byte(":"))
	return strings.TrimSpace(strings.ReplaceAll(string(v), "\r\n", ""))
}

// A Header is the fields of a message in their order.
type Header []Field

// ParseHeader splits a message, of which a [Reader] has checked the lines,
// into header and body. The results are slices of raw. A message that has no
// empty line has no body. A line that is neither a field nor the continuation
// of one is Invalid.
func ParseHeader(raw []byte) (h Header, body []byte, err error) {
	for len(raw) > 0 {
		n := bytes.Index(raw, []byte("\r\n")) + 2
		if n < 2 {
			n = len(raw)
		}
		line := raw[:n]
		raw = raw[n:]
		switch {
		case string(line) == "\r\n":
			return h, raw, nil
		case line[0] == ' ' || line[0] == '\t':
			if len(h) == 0 {
				return nil, nil, problem.Invalid.Errorf("header begins with a continuation")
			}
			last := &h[len(h)-1]
			last.Raw = last.Raw[:len(last.Raw)+n] // The line stands right behind it.
		default:
			name, ok := fieldName(line)
			if !ok {
				return nil, nil, problem.Invalid.Errorf("header has a line that is no field")
			}
			h = append(h, Field{name, line})
		}
	}
	return h, nil, nil
}

// fieldName returns the name of the field that begins with line. White space
// before the colon is obsolete but in use (RFC 5322, 4.5).
func fieldName(line []byte) (string, bool) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return string(name), ok && len(name) > 0 && !bytes.ContainsFunc(name, bad)
}

// Count returns how many fields have the name.
func (h Header) Count(name string) int {
	n := 0
	for _, f := range h {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// Value returns the value of the first field of that name, or "".
func (h Header) Value(name string) string {
	for _, f := range h {
		if f.Is(name) {
			return f.Value()
		}
	}
	return ""
}

// Author returns the one mail address of the one From field, as it is written
// there, without the name. None, several, or one that cannot be read is
// Invalid: what is not clear cannot be vouched for.
func (h Header) Author() (string, error) {
	if h.Count("From") != 1 {
		return "", problem.Invalid.Errorf("there must be exactly one From field")
	}
	return OneAddress(h.Value("From"))
}

// OneAddress returns the only mail address of a field's value; see
// [Header.Author].
func OneAddress(value string) (string, error) {
	// The name is not looked at: no charset is unknown.
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
	}}
	list, err := p.ParseList(value)
	if err != nil {
		// A name with a comma or a dot too many: the address is clear if one
		// pair of angle brackets ends the field.
		open := strings.IndexByte(value, '<')
		if open < 0 || strings.Count(value, "<") != 1 || strings.IndexByte(value, '>') != len(value)-1 {
			return "", problem.Invalid.Errorf("a field does not hold a mail address")
		}
		list, err = p.ParseList(value[open:])
	}
	if err != nil || len(list) != 1 {
		return "", problem.Invalid.Errorf("a field does not hold exactly one mail address")
	}
	return list[0].Address, nil
}

// AppendWithout appends the fields of h for which drop is false to b.
func (h Header) AppendWithout(b []byte, drop func(Field) bool) []byte {
	for _, f := range h {
		if !drop(f) {
			b = append(b, f.Raw...)
		}
	}
	return b
}
