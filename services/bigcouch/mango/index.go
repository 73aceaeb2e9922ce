package mango

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"strings"

	"leap.example/services/bigcouch/order"
)

// An Index is the definition of an index: which rows it has. The order of its
// rows is that of [KeyBytes] of their keys.
type Index struct {
	DDoc    string    // Name of the design document, without "_design/".
	Name    string    // Of the index in it.
	Fields  []string  // Canonical names, at least one.
	Partial *Selector // Only documents that match have a row; nil: all.
	// Def is the definition as GET _index shows it and the view of the design
	// document keeps it: {"fields":[{"a":"asc"}],"partial_filter_selector":…}.
	// ParseIndex takes it back as the member "index".
	Def json.RawMessage

	fields []field
}

// ParseIndex reads the body of POST _index:
// {"index":{"fields":[…],"partial_filter_selector":{…}},"ddoc":…,"name":…}.
// Without ddoc or name they are made of the definition, so that the same
// definition has the same name. What CouchDB would refuse is an *Error.
func ParseIndex(raw json.RawMessage) (Index, error) {
	var body struct {
		Index json.RawMessage `json:"index"`
		DDoc  string          `json:"ddoc"`
		Name  string          `json:"name"`
		Type  *string         `json:"type"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return Index{}, refuse("bad_request", "invalid UTF-8 JSON")
	}
	switch {
	case body.Type != nil && *body.Type == "text":
		return Index{}, &Error{503, "required index service unavailable", "text"}
	case body.Type != nil && *body.Type != "json":
		return Index{}, refuse("invalid_index", "Invalid type for index: %.200s", *body.Type)
	case len(body.Index) == 0 || string(body.Index) == "null":
		return Index{}, refuse("missing_required_key", "Missing required key: index")
	}
	x, err := parseDefinition(body.Index)
	if err != nil {
		return Index{}, err
	}
	sum := sha1.Sum(x.Def) // A name, no protection.
	x.DDoc, x.Name = strings.TrimPrefix(body.DDoc, "_design/"), body.Name
	if x.DDoc == "" {
		x.DDoc = hex.EncodeToString(sum[:])
	}
	if x.Name == "" {
		x.Name = hex.EncodeToString(sum[:])
	}
	return x, nil
}

func parseDefinition(raw json.RawMessage) (Index, error) {
	var in struct {
		Fields  json.RawMessage `json:"fields"`
		Partial json.RawMessage `json:"partial_filter_selector"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return Index{}, refuse("invalid_index", "JSON indexes must be an object, not: %.200s", raw)
	}
	if len(in.Fields) == 0 {
		return Index{}, refuse("missing_required_key", "Missing required key: fields")
	}
	fields, desc, err := parseSort(in.Fields)
	if err != nil {
		return Index{}, err
	}
	if len(fields) == 0 {
		return Index{}, refuse("invalid_index", "An index needs a field")
	}
	direction := "asc"
	if desc {
		direction = "desc"
	}
	x := Index{fields: fields}
	out := struct {
		Fields  []map[string]string `json:"fields"`
		Partial json.RawMessage     `json:"partial_filter_selector,omitempty"`
	}{}
	for _, f := range fields {
		x.Fields = append(x.Fields, f.name)
		out.Fields = append(out.Fields, map[string]string{f.name: direction})
	}
	if len(in.Partial) > 0 {
		s, err := ParseSelector(in.Partial)
		if err != nil {
			return Index{}, err
		}
		if every, ok := s.root.(all); !ok || len(every) > 0 {
			x.Partial, out.Partial = s, in.Partial
		}
	}
	x.Def, err = json.Marshal(out)
	return x, err
}

// Keys returns the key of doc's row, one value for each field; false if doc
// has no row, because a field is missing or the partial filter does not match.
func (x Index) Keys(doc map[string]any) ([]any, bool) {
	keys := make([]any, 0, len(x.fields))
	for _, f := range x.fields {
		v, l := f.in(doc)
		if l != found {
			return nil, false
		}
		keys = append(keys, v)
	}
	if x.Partial != nil && !x.Partial.Match(doc) {
		return nil, false
	}
	return keys, true
}

// KeyBytes returns the key of a row as bytes: its values in package order, one
// behind the other. A row's place in the store is KeyBytes and then the
// document's id.
func KeyBytes(keys []any) []byte {
	var b []byte
	for _, k := range keys {
		b = order.Append(b, k)
	}
	return b
}
