package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
)

// An object is a JSON object with its members in JavaScript's order. Values
// are nil, bool, float64, string, []any and *object, and absent.
type object struct {
	names  []string
	values map[string]any
}

// absent is the value of a member that is not there, JavaScript's undefined.
type absent struct{}

func (o *object) get(name string) any {
	if v, ok := o.values[name]; ok {
		return v
	}
	return absent{}
}

var (
	errJSON   = errors.New("a document is no JSON object")
	errNumber = errors.New("a number is out of range") // goja does not read such documents.
)

// parseObject reads a JSON object.
func parseObject(data []byte) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := parseValue(d)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, errJSON
	}
	return o, nil
}

func parseValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, errJSON
	}
	switch t := t.(type) {
	case json.Number:
		f, err := t.Float64()
		if err != nil {
			return nil, errNumber
		}
		return f, nil
	case json.Delim:
		if t == '[' {
			return parseList(d)
		}
		return parseMembers(d)
	}
	return t, nil
}

func parseList(d *json.Decoder) (any, error) {
	list := []any{}
	for d.More() {
		v, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func parseMembers(d *json.Decoder) (any, error) {
	o := &object{values: map[string]any{}}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errJSON
		}
		name, _ := t.(string)
		v, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		if _, twice := o.values[name]; !twice {
			o.names = append(o.names, name)
		}
		o.values[name] = v
	}
	// ECMA-262, 10.1.11: names that are array indexes come first, as numbers.
	slices.SortStableFunc(o.names, func(a, b string) int {
		x, y := arrayIndex(a), arrayIndex(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	_, err := d.Token()
	return o, err
}

// arrayIndex returns the index that a name is, or one behind all indexes.
func arrayIndex(name string) uint64 {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || n == math.MaxUint32 || name != strconv.FormatUint(n, 10) {
		return math.MaxUint32
	}
	return n
}

// appendValue writes a value as JSON. What is absent is null.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(b, v)
	case float64:
		return appendNumber(b, v)
	case string:
		return appendText(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e)
		}
		return append(b, ']')
	case *object:
		b = append(b, '{')
		for i, name := range v.names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, name), ':')
			b = appendValue(b, v.values[name])
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// truthy is JavaScript's ToBoolean.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil, absent:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	}
	return true
}

// text is JavaScript's ToString. It reports false where that throws.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "null", true
	case absent:
		return "undefined", true
	case string:
		return v, true
	case []any:
		var b []byte
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if e == nil {
				continue
			}
			t, ok := text(e)
			if !ok {
				return "", false
			}
			b = append(b, t...)
		}
		return string(b), true
	case *object:
		if _, own := v.values["toString"]; own {
			return "", false // No function: a document has none.
		}
		return "[object Object]", true
	}
	return string(appendValue(nil, v)), true
}
