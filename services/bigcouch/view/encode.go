package view

import (
	"math"
	"strconv"

	"github.com/dop251/goja"
)

// maxDepth is how deep a value may be nested.
const maxDepth = 500

// An encoder writes JavaScript values as JSON, as JSON.stringify does. It runs
// inside a call of the session: what the value's own functions throw is thrown
// on.
type encoder struct {
	s        *Session
	b        []byte
	limit    int
	full     bool // The limit was reached; b is worth nothing.
	depth    int
	replacer goja.Callable   // The function given to JSON.stringify, or nil.
	only     map[string]bool // The list of names given to it, or nil.
	gap      string
}

// value writes v. It reports false, and writes nothing, where JSON.stringify
// has undefined.
func (e *encoder) value(v goja.Value) bool {
	var holder *goja.Object
	if e.replacer != nil {
		holder = e.s.rt.NewObject()
		if err := holder.Set("", v); err != nil {
			panic(err)
		}
	}
	return e.member(holder, "", v)
}

// orNull is value with null for undefined.
func (e *encoder) orNull(v goja.Value) {
	if !e.value(v) {
		e.b = append(e.b, "null"...)
	}
}

// ECMA-262, 25.5.2.2 SerializeJSONProperty.
func (e *encoder) member(holder *goja.Object, key string, v goja.Value) bool {
	if len(e.b) > e.limit {
		e.full = true
	}
	if e.full {
		return false
	}
	if o, ok := v.(*goja.Object); ok {
		if toJSON, ok := goja.AssertFunction(o.Get("toJSON")); ok {
			v = must(toJSON(o, e.s.rt.ToValue(key)))
		}
	}
	if e.replacer != nil {
		v = must(e.replacer(holder, e.s.rt.ToValue(key), v))
	}
	if o, ok := v.(*goja.Object); ok {
		switch o.ClassName() {
		case "Number":
			v = o.ToNumber()
		case "String":
			v = o.ToString()
		case "Boolean":
			e.b = strconv.AppendBool(e.b, o.Export() == true)
			return true
		}
	}
	switch {
	case v == nil || goja.IsUndefined(v):
		return false
	case goja.IsNull(v):
		e.b = append(e.b, "null"...)
		return true
	}
	switch v := v.(type) {
	case *goja.Object:
		return e.object(v)
	case *goja.Symbol:
		return false
	case goja.String:
		e.text(v)
		return true
	}
	if goja.IsNumber(v) {
		e.b = appendNumber(e.b, v.ToFloat())
	} else {
		e.b = strconv.AppendBool(e.b, v.ToBoolean())
	}
	return true
}

func (e *encoder) text(v goja.String) {
	if v.Length() > e.limit-len(e.b) {
		e.full = true
		return
	}
	e.b = appendText(e.b, v.String())
}

func (e *encoder) object(o *goja.Object) bool {
	if _, callable := goja.AssertFunction(o); callable {
		return false
	}
	if e.depth++; e.depth > maxDepth {
		panic(e.s.rt.NewTypeError("the value is cyclic or nested too deep"))
	}
	first := true
	separate := func() {
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		e.newline()
	}
	end := byte('}')
	if o.ClassName() == "Array" {
		end = ']'
		e.b = append(e.b, '[')
		for i, n := int64(0), o.Get("length").ToInteger(); i < n && !e.full; i++ {
			separate()
			key := strconv.FormatInt(i, 10)
			if !e.member(o, key, o.Get(key)) {
				e.b = append(e.b, "null"...)
			}
		}
	} else {
		e.b = append(e.b, '{')
		for _, key := range o.Keys() {
			if e.only != nil && !e.only[key] {
				continue
			}
			before, was := len(e.b), first
			separate()
			e.b = append(appendText(e.b, key), ':')
			if e.gap != "" {
				e.b = append(e.b, ' ')
			}
			if !e.member(o, key, o.Get(key)) {
				e.b, first = e.b[:before], was
			}
		}
	}
	e.depth--
	if !first {
		e.newline()
	}
	e.b = append(e.b, end)
	return true
}

func (e *encoder) newline() {
	if e.gap == "" {
		return
	}
	e.b = append(e.b, '\n')
	for range e.depth {
		e.b = append(e.b, e.gap...)
	}
}

// must throws on what a function of the value threw.
func must(v goja.Value, err error) goja.Value {
	if err != nil {
		panic(err)
	}
	return v
}

// appendNumber writes a number as JavaScript does. JSON has no NaN and no
// infinities.
func appendNumber(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case f == 0:
		return append(b, '0') // -0 too.
	}
	format := byte('f')
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b[n-2] = b[n-1] // e-09 is e-9.
		b = b[:n-1]
	}
	return b
}

// appendText writes a string as JSON.stringify does.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}
