package node

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An Error is what is wrong at one place of a JSON text.
type Error struct {
	File    string // Name of the text, for people. May be empty.
	Line    int    // From 1.
	Column  int    // From 1, in bytes.
	Pointer string // The member, as RFC 6901 writes it. May be empty.
	Text    string // What is wrong and what to do.
}

// Error returns "FILE:LINE:COLUMN: POINTER: TEXT".
func (e *Error) Error() string {
	var s strings.Builder
	if e.File != "" {
		s.WriteString(e.File + ":")
	}
	if e.Line > 0 {
		fmt.Fprintf(&s, "%d:%d: ", e.Line, e.Column)
	} else if e.File != "" {
		s.WriteString(" ")
	}
	if e.Pointer != "" {
		s.WriteString(e.Pointer + ": ")
	}
	return s.String() + e.Text
}

// A Source is a JSON text of which is known where each value begins.
type Source struct {
	file    string
	text    []byte
	offsets map[string]int // By pointer.
}

// maxDepth is how deep values may be nested: deeper ones are an attack.
const maxDepth = 64

// Decode reads one JSON value into v, a pointer, strictly: members that v does
// not have, in exactly that spelling, and members that are there twice are
// errors, as is anything after the value. Members of type [json.RawMessage] are
// taken as they are. All errors are *[Error] and name the place; file is what
// they call the text.
func Decode(file string, text []byte, v any) (*Source, error) {
	s := &Source{file: file, text: text, offsets: map[string]int{}}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := s.walk(d, reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return nil, s.located(err, d)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, s.at(int(d.InputOffset()), "", "there is more after the value")
	}
	if err := json.Unmarshal(text, v); err != nil {
		return nil, s.located(err, d)
	}
	return s, nil
}

// Errorf is an error about the value at a pointer, or about the nearest one
// around it that is there.
func (s *Source) Errorf(pointer, format string, args ...any) error {
	for p := pointer; ; p = p[:max(0, strings.LastIndexByte(p, '/'))] {
		if offset, ok := s.offsets[p]; ok || p == "" {
			return s.at(offset, pointer, fmt.Sprintf(format, args...))
		}
	}
}

// at makes an error about the value that begins at or after an offset.
func (s *Source) at(offset int, pointer, text string) *Error {
	offset = min(max(offset, 0), len(s.text))
	before := s.text[:offset]
	return &Error{
		File: s.file, Line: 1 + bytes.Count(before, []byte("\n")), Column: offset - bytes.LastIndexByte(before, '\n'),
		Pointer: pointer, Text: text,
	}
}

// located gives an error of encoding/json its place.
func (s *Source) located(err error, d *json.Decoder) error {
	var (
		own    *Error
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return s.at(int(syntax.Offset)-1, "", "no valid JSON: "+syntax.Error())
	case errors.As(err, &typed):
		return s.at(int(typed.Offset)-1, "/"+strings.ReplaceAll(typed.Field, ".", "/"), fmt.Sprintf("this cannot be a %s", typed.Value))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return s.at(len(s.text), "", "the text ends in the middle")
	}
	return s.at(int(d.InputOffset()), "", strings.TrimPrefix(err.Error(), "json: "))
}

// start is the offset of the next value: behind what separates it.
func (s *Source) start(d *json.Decoder) int {
	offset := int(d.InputOffset())
	for offset < len(s.text) && strings.IndexByte(" \t\r\n,:", s.text[offset]) >= 0 {
		offset++
	}
	return offset
}

// walk reads one value of type t and notes where it and what is in it begins.
// A nil t is a value of which nothing is known.
func (s *Source) walk(d *json.Decoder, t reflect.Type, pointer string, depth int) error {
	begin := s.start(d)
	if depth > maxDepth {
		return s.at(begin, pointer, "nested too deep")
	}
	s.offsets[pointer] = begin
	token, err := d.Token()
	if err != nil {
		return err
	}
	t = shape(t)
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			at := s.start(d)
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := key.(string) // The decoder takes nothing else here.
			inner := pointer + "/" + escape(name)
			of, known := member(t, name)
			switch {
			case seen[name]:
				return s.at(at, inner, "this is here twice")
			case !known:
				return s.at(at, inner, "there is no such member"+suggest(t))
			}
			seen[name] = true
			if err := s.walk(d, of, inner, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		var of reflect.Type
		if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			of = t.Elem()
		}
		for i := 0; d.More(); i++ {
			if err := s.walk(d, of, pointer+"/"+strconv.Itoa(i), depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shape is a type without pointers, or nil if it reads JSON in its own way.
func shape(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(unmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return nil
	}
	return t
}

// member returns the type of a member of an object that becomes a t.
func member(t reflect.Type, name string) (of reflect.Type, known bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct:
		return nil, true // A wrong type, which decoding reports.
	}
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return f.Type, true
		}
	}
	return nil, false
}

// suggest lists the members of t.
func suggest(t reflect.Type) string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && tag != "-" {
			names = append(names, tag)
		}
	}
	slices.Sort(names)
	return "; there are " + strings.Join(names, ", ")
}

// escape writes a name as a part of a pointer.
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
