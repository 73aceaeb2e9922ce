package mailmime

import (
	"bytes"
	"slices"
	"strings"
)

// maxFields is how many fields of one header are told apart.
const maxFields = 4096

// A Field is one header field.
type Field struct {
	Name string // As written; empty for a line that is no field.
	Raw  []byte // The whole field with its name, folding and final line break.
}

// NewField returns the field "name: value". The value may hold CRLF followed
// by white space; other line breaks are made into spaces, so that a value
// never becomes a second field.
func NewField(name, value string) Field {
	lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n")
	var b strings.Builder
	for i, line := range lines {
		line = strings.Map(func(r rune) rune {
			if r == '\r' || r == 0 {
				return ' '
			}
			return r
		}, line)
		switch {
		case i == 0:
		case strings.TrimSpace(line) != "" && (line[0] == ' ' || line[0] == '\t'):
			b.WriteString("\r\n")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return Field{name, []byte(name + ": " + b.String() + "\r\n")}
}

// Is reports whether f has the given name, in any case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// Value returns what follows the colon, unfolded (RFC 5322, 2.2.3) and without
// space around it.
func (f Field) Value() string {
	_, v, _ := bytes.Cut(f.Raw, []byte(":"))
	v = bytes.ReplaceAll(v, []byte("\r\n"), nil)
	v = bytes.ReplaceAll(v, []byte("\n"), nil)
	return string(bytes.TrimSpace(v))
}

// A Header is the fields of a message or part, in order.
type Header []Field

// Split returns the header of raw with its final empty line, and what follows.
// Without an empty line all of it is the header, unless its first line is no
// field: then there is none.
func Split(raw []byte) (head, body []byte) {
	for at := 0; at < len(raw); {
		end := lineEnd(raw, at)
		if len(bytes.TrimRight(raw[at:end], "\r\n")) == 0 {
			return raw[:end], raw[end:]
		}
		at = end
	}
	if len(raw) > 0 && fieldName(raw[:lineEnd(raw, 0)]) == "" {
		return nil, raw
	}
	return raw, nil
}

// ParseHeader returns the fields of a header, as Split returns it.
func ParseHeader(head []byte) Header {
	var h Header
	for at := 0; at < len(head) && len(h) < maxFields; {
		end := lineEnd(head, at)
		if len(bytes.TrimRight(head[at:end], "\r\n")) == 0 {
			break
		}
		for end < len(head) && (head[end] == ' ' || head[end] == '\t') {
			end = lineEnd(head, end)
		}
		h = append(h, Field{fieldName(head[at:end]), head[at:end]})
		at = end
	}
	return h
}

// lineEnd returns where the line after the one at i begins.
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(b)
}

// fieldName returns the name that a line begins with, RFC 5322, 2.2 and 4.5
// (obsolete: space before the colon).
func fieldName(line []byte) string {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 || slices.ContainsFunc(name, func(c byte) bool { return c <= ' ' || c >= 0x7f }) {
		return ""
	}
	return string(name)
}

// Get returns the value of the first field of that name, or "".
func (h Header) Get(name string) string {
	i := slices.IndexFunc(h, func(f Field) bool { return f.Is(name) })
	if i < 0 {
		return ""
	}
	return h[i].Value()
}

// All returns all fields of that name.
func (h Header) All(name string) Header {
	return h.Select(func(f Field) bool { return f.Is(name) })
}

// Without returns h without the fields of these names.
func (h Header) Without(names ...string) Header {
	return h.Select(func(f Field) bool { return !slices.ContainsFunc(names, f.Is) })
}

// Select returns the fields for which keep is true, in a new slice.
func (h Header) Select(keep func(Field) bool) Header {
	var kept Header
	for _, f := range h {
		if keep(f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// Structural reports whether f describes the body rather than the message:
// MIME-Version and Content-* (RFC 9788, 1.1.1).
func (f Field) Structural() bool {
	return f.Is("MIME-Version") || len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "Content-")
}

// Bytes returns the fields as they are written in a message, without the empty
// line after them. Line breaks become CRLF.
func (h Header) Bytes() []byte {
	var b bytes.Buffer
	for _, f := range h {
		raw := bytes.ReplaceAll(f.Raw, []byte("\r\n"), []byte("\n"))
		raw = bytes.TrimRight(raw, "\n")
		b.Write(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// Message returns the bytes of a message or part with this header.
func (h Header) Message(body []byte) []byte {
	return slices.Concat(h.Bytes(), []byte("\r\n"), body)
}
