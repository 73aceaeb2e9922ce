package mango

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A field is a path into a document.
type field struct {
	name string // Canonical: equal names are equal paths.
	path []string
}

// parseField splits a name at its dots; \. is a dot in a member's name.
func parseField(name string) (field, error) {
	var f field
	var part strings.Builder
	for i := 0; i <= len(name); i++ {
		switch {
		case i == len(name) || name[i] == '.':
			if part.Len() == 0 {
				return field{}, refuse("invalid_field_name", "Invalid field name: %.200s", name)
			}
			f.path = append(f.path, part.String())
			part.Reset()
		case name[i] == '\\' && i+1 < len(name):
			i++
			part.WriteByte(name[i])
		default:
			part.WriteByte(name[i])
		}
	}
	f.name = escapeNames.Replace(f.path[0])
	for _, p := range f.path[1:] {
		f.name += "." + escapeNames.Replace(p)
	}
	return f, nil
}

var escapeNames = strings.NewReplacer(`\`, `\\`, `.`, `\.`)

// A lookup says what there is at the end of a path.
type lookup int

const (
	found   lookup = iota
	missing        // The object has no such member.
	noPath         // On the way there is something that is no object.
)

// in returns the value of f in v. An element of an array is named by its
// number.
func (f field) in(v any) (any, lookup) {
	for _, name := range f.path {
		switch c := v.(type) {
		case map[string]any:
			e, ok := c[name]
			if !ok {
				return nil, missing
			}
			v = e
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(c) {
				return nil, noPath
			}
			v = c[i]
		default:
			return nil, noPath
		}
	}
	return v, found
}

// brief renders a value for a message.
func brief(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}
