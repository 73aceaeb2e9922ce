package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"

	"leap.example/appliance/node"
)

// A source is one file.
type source struct {
	name string
	text []byte
}

// at is an error about the byte at an offset.
func (s *source) at(offset int, pointer, format string, args ...any) *node.Error {
	offset = min(max(offset, 0), len(s.text))
	before := s.text[:offset]
	return &node.Error{
		File: s.name, Line: 1 + bytes.Count(before, []byte("\n")), Column: offset - bytes.LastIndexByte(before, '\n'),
		Pointer: pointer, Text: fmt.Sprintf(format, args...),
	}
}

// A value is one JSON value that knows where it was written. It is an object if
// members is not nil, an array if elements is not nil, else a literal.
type value struct {
	from     *source
	offset   int
	members  []member
	elements []*value
	literal  []byte
}

// A member is one of an object's.
type member struct {
	name   string
	from   *source
	offset int // Of the name.
	value  *value
}

// maxDepth is how deep values may be nested.
const maxDepth = 32

// maxFile is the greatest size of a file of the instance, bytes.
const maxFile = 1 << 20

// parse reads a file, which must hold one object.
func parse(name string, text []byte) (*value, error) {
	src := &source{name, text}
	if len(text) > maxFile {
		return nil, src.at(0, "", "the file has more than %d bytes", maxFile)
	}
	v, err := hujson.Parse(text)
	if err != nil {
		return nil, src.syntax(err)
	}
	if _, ok := v.Value.(*hujson.Object); !ok {
		return nil, src.at(v.StartOffset, "", "an object is required: { … }")
	}
	return src.convert(v, "", 0)
}

// syntax gives an error of hujson, which begins "hujson: line L, column C: ",
// its place.
func (s *source) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "hujson: ")
	e := &node.Error{File: s.name, Line: 1, Column: 1, Text: "no valid JSON: " + text}
	if place, rest, ok := strings.Cut(text, ": "); ok {
		if n, _ := fmt.Sscanf(place, "line %d, column %d", &e.Line, &e.Column); n == 2 {
			e.Text = "no valid JSON: " + rest
		}
	}
	return e
}

func (s *source) convert(v hujson.Value, pointer string, depth int) (*value, error) {
	if depth > maxDepth {
		return nil, s.at(v.StartOffset, "", "nested too deep")
	}
	out := &value{from: s, offset: v.StartOffset}
	switch t := v.Value.(type) {
	case *hujson.Object:
		out.members = []member{}
		for _, m := range t.Members {
			name := m.Name.Value.(hujson.Literal).String()
			inner := pointer + "/" + escape(name)
			if slices.ContainsFunc(out.members, func(o member) bool { return o.name == name }) {
				return nil, s.at(m.Name.StartOffset, inner, "this is here twice")
			}
			of, err := s.convert(m.Value, inner, depth+1)
			if err != nil {
				return nil, err
			}
			out.members = append(out.members, member{name, s, m.Name.StartOffset, of})
		}
	case *hujson.Array:
		out.elements = []*value{}
		for i, e := range t.Elements {
			of, err := s.convert(e, pointer+"/"+strconv.Itoa(i), depth+1)
			if err != nil {
				return nil, err
			}
			out.elements = append(out.elements, of)
		}
	case hujson.Literal:
		out.literal = t
		if text := t.String(); t.Kind() == '"' && (strings.HasPrefix(text, "= ") || strings.HasPrefix(text, "=> ")) {
			return nil, s.at(v.StartOffset, pointer, "expressions are not evaluated: write the value; what leap_cli computed, leap knows")
		}
	}
	return out, nil
}

// errorf is an error about this value.
func (v *value) errorf(pointer, format string, args ...any) *node.Error {
	return v.from.at(v.offset, pointer, format, args...)
}

// get returns a member, or nil.
func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// find returns the value at a pointer, or the nearest one around it.
func (v *value) find(pointer string) *value {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		next := v.get(unescape(part))
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v.elements) {
			next = v.elements[i]
		}
		if next == nil {
			return v
		}
		v = next
	}
	return v
}

func (v *value) kind() string {
	switch {
	case v.members != nil:
		return "an object"
	case v.elements != nil:
		return "an array"
	case v.null():
		return "null"
	case v.literal[0] == '"':
		return "a string"
	case v.literal[0] == 't', v.literal[0] == 'f':
		return "true or false"
	}
	return "a number"
}

func (v *value) null() bool { return string(v.literal) == "null" }

// json writes the value as JSON, on one line.
func (v *value) json() []byte {
	var out []byte
	switch {
	case v.members != nil:
		for i, m := range v.members {
			name, err := json.Marshal(m.name)
			if err != nil {
				panic(err) // A string can be written.
			}
			out = append(append(append(out, sep(i, '{')), name...), ':')
			out = append(out, m.value.json()...)
		}
		if len(v.members) == 0 {
			out = append(out, '{')
		}
		return append(out, '}')
	case v.elements != nil:
		for i, e := range v.elements {
			out = append(append(out, sep(i, '[')), e.json()...)
		}
		if len(v.elements) == 0 {
			out = append(out, '[')
		}
		return append(out, ']')
	}
	return v.literal
}

func sep(i int, open byte) byte {
	if i == 0 {
		return open
	}
	return ','
}

// escape writes a name as a part of a pointer, RFC 6901.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

func unescape(part string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(part) }

// joined sorts errors by place and joins them.
func joined(errs []error) error {
	slices.SortStableFunc(errs, func(a, b error) int {
		x, ok1 := errors.AsType[*node.Error](a)
		y, ok2 := errors.AsType[*node.Error](b)
		if !ok1 || !ok2 {
			return 0
		}
		if c := strings.Compare(x.File, y.File); c != 0 {
			return c
		}
		return x.Line - y.Line
	})
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(errs, func(e error) bool {
		was := seen[e.Error()]
		seen[e.Error()] = true
		return was
	})...)
}
