package mango

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
)

// maxDepth is the limit of nesting in a selector.
const maxDepth = 100

// A Selector is a condition on documents. It is immutable and may be used from
// several goroutines.
type Selector struct{ root expr }

// ParseSelector reads a selector. What CouchDB would refuse is an *Error.
func ParseSelector(raw json.RawMessage) (*Selector, error) {
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, refuse("invalid_selector_json", "Selector must be a JSON object, not: %.200s", brief(v))
	}
	e, err := (&parser{}).object(m, "")
	if err != nil {
		return nil, err
	}
	return &Selector{e}, nil
}

// decode reads one JSON value, with numbers as they are written.
func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse("bad_request", "invalid UTF-8 JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse("bad_request", "invalid UTF-8 JSON")
	}
	return v, nil
}

// A parser reads conditions and normalises them on the way.
type parser struct {
	negate  bool // The condition is to be turned into its opposite.
	element bool // It is about a value ($elemMatch): a field name is not needed.
	depth   int
}

// object reads the conditions of m, all of which must hold, on the field path
// ("" for the document).
func (p *parser) object(m map[string]any, path string) (expr, error) {
	if len(m) == 0 && path != "" {
		return p.operator("$eq", m, path)
	}
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, refuse("bad_field", "Selector is nested too deeply")
	}
	var list []expr
	for _, name := range slices.Sorted(maps.Keys(m)) {
		e, err := p.member(name, m[name], path)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return p.join(list, !p.negate), nil
}

// join makes one condition of several: all of them, or one of them.
func (p *parser) join(list []expr, every bool) expr {
	if len(list) == 1 {
		return list[0]
	}
	if every {
		return all(list)
	}
	return one(list)
}

func (p *parser) member(name string, arg any, path string) (expr, error) {
	switch name {
	case "$and", "$or", "$nor":
		return p.combination(name, arg, path)
	case "$not":
		m, ok := arg.(map[string]any)
		if !ok {
			return nil, badArg(name, arg)
		}
		p.negate = !p.negate
		defer func() { p.negate = !p.negate }()
		return p.object(m, path)
	}
	if strings.HasPrefix(name, "$") {
		return p.operator(name, arg, path)
	}
	if path != "" {
		name = path + "." + name
	}
	if m, ok := arg.(map[string]any); ok && name != "" {
		return p.object(m, name)
	}
	if name == "" {
		return nil, errNoField
	}
	return p.operator("$eq", arg, name)
}

func (p *parser) combination(name string, arg any, path string) (expr, error) {
	items, ok := arg.([]any)
	if !ok {
		return nil, badArg(name, arg)
	}
	if name == "$nor" {
		p.negate = !p.negate
		defer func() { p.negate = !p.negate }()
	}
	var list []expr
	for _, item := range items {
		m, ok := item.(map[string]any)
		var e expr
		var err error
		switch {
		case ok:
			e, err = p.object(m, path)
		case path != "":
			e, err = p.operator("$eq", item, path)
		default:
			err = badArg(name, arg)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	// De Morgan: under a negation "and" and "or" change places; $nor is the
	// negated $or.
	return p.join(list, (name == "$and") != p.negate), nil
}

var errNoField = refuse("invalid_selector", "One or more conditions is missing a field name.")

// operator reads one comparison of the field path.
func (p *parser) operator(name string, arg any, path string) (expr, error) {
	if path == "" && !p.element && known(name) {
		return nil, errNoField
	}
	var f field
	if path != "" {
		var err error
		if f, err = parseField(path); err != nil {
			return nil, err
		}
	}
	t, err := p.test(name, arg, f.name == "_id")
	if err != nil {
		return nil, err
	}
	if p.negate {
		t = t.negated()
	}
	if path == "" {
		return self{t}, nil
	}
	return at{f, t}, nil
}
