package view

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
)

// An accumulator is a built-in reduce at work.
type accumulator interface {
	add(key, value []byte) error
	result() []byte // JSON.
}

// A combiner is an accumulator that takes results of others too.
type combiner interface {
	accumulator
	combine(result []byte) error
}

var builtins = map[string]func() accumulator{
	"_count":                 func() accumulator { return new(count) },
	"_sum":                   func() accumulator { return new(sum) },
	"_stats":                 func() accumulator { return new(statistics) },
	"_approx_count_distinct": func() accumulator { return new(distinct) },
}

type count int

func (c *count) add(_, _ []byte) error { *c++; return nil }
func (c *count) result() []byte        { return strconv.AppendInt(nil, int64(*c), 10) }

func (c *count) combine(result []byte) error {
	n, err := strconv.Atoi(string(result))
	*c += count(n)
	return err
}

// distinct counts different keys. The rows come in the order of their keys, so
// that it need not be approximate.
type distinct struct {
	n    int
	last []byte
}

func (d *distinct) add(key, _ []byte) error {
	if d.n == 0 || !bytes.Equal(key, d.last) {
		d.n++
		d.last = append(d.last[:0], key...)
	}
	return nil
}

func (d *distinct) result() []byte { return strconv.AppendInt(nil, int64(d.n), 10) }

// A sum adds numbers, lists of numbers element by element, and objects member
// by member.
type sum struct{ total any }

func (s *sum) add(_, value []byte) error {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return errSum
	}
	var err error
	s.total, err = plus(s.total, v)
	return err
}

func (s *sum) result() []byte {
	if s.total == nil {
		return []byte("0")
	}
	return appendAny(nil, s.total)
}

func (s *sum) combine(result []byte) error { return s.add(nil, result) }

var errSum = &ValueError{"The _sum function requires that map values be numbers, arrays of numbers, or objects. " +
	"Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, provided that the values " +
	"for all fields are themselves numbers, arrays of numbers, or objects."}

// plus adds b to a; a nil a is nothing yet.
func plus(a, b any) (any, error) {
	switch b := b.(type) {
	case float64:
		switch a := a.(type) {
		case nil:
			return b, nil
		case float64:
			return a + b, nil
		case []any:
			return plusList(a, []any{b})
		}
	case []any:
		switch a := a.(type) {
		case nil:
			return plusList(nil, b)
		case float64:
			return plusList([]any{a}, b)
		case []any:
			return plusList(a, b)
		}
	case map[string]any:
		total, ok := a.(map[string]any)
		if a == nil {
			total, ok = map[string]any{}, true
		}
		if !ok {
			return nil, errSum
		}
		for name, v := range b {
			var err error
			if total[name], err = plus(total[name], v); err != nil {
				return nil, err
			}
		}
		return total, nil
	}
	return nil, errSum
}

func plusList(a, b []any) (any, error) {
	for i, v := range b {
		f, ok := v.(float64)
		if !ok {
			return nil, errSum
		}
		if i < len(a) {
			a[i] = a[i].(float64) + f // All of a came through here.
		} else {
			a = append(a, f)
		}
	}
	return a, nil
}

// appendAny writes what encoding/json decodes, members in order of names.
func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAny(b, e)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, name), ':')
			b = appendAny(b, v[name])
		}
		return append(b, '}')
	}
	return appendValue(b, v)
}

// statistics are those of numbers, or of lists of them element by element.
type statistics struct {
	list bool
	of   []stats
}

type stats struct{ sum, count, min, max, sumsqr float64 }

func (s *statistics) add(_, value []byte) error {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return errStats(value)
	}
	elements, list := v.([]any)
	if !list {
		elements = []any{v}
	}
	if s.of == nil {
		s.list = list
		s.of = slices.Repeat([]stats{{min: math.Inf(1), max: math.Inf(-1)}}, len(elements))
	}
	if list != s.list || len(elements) != len(s.of) {
		return errStats(value)
	}
	for i, e := range elements {
		if !s.of[i].take(e) {
			return errStats(value)
		}
	}
	return nil
}

func (s *statistics) combine(result []byte) error { return s.add(nil, result) }

func errStats(value []byte) error {
	return &ValueError{"The _stats function requires that map values be numbers or arrays of numbers, not '" + clip(string(value), 200) + "'"}
}

// take adds a number, or statistics that were made before.
func (s *stats) take(v any) bool {
	one := stats{}
	switch v := v.(type) {
	case float64:
		one = stats{v, 1, v, v, v * v}
	case map[string]any:
		for name, to := range map[string]*float64{
			"sum": &one.sum, "count": &one.count, "min": &one.min, "max": &one.max, "sumsqr": &one.sumsqr,
		} {
			f, ok := v[name].(float64)
			if !ok {
				return false
			}
			*to = f
		}
	default:
		return false
	}
	s.sum += one.sum
	s.count += one.count
	s.min, s.max = min(s.min, one.min), max(s.max, one.max)
	s.sumsqr += one.sumsqr
	return true
}

func (s *statistics) result() []byte {
	if s.of == nil {
		s.of = make([]stats, 1)
	}
	var b []byte
	for i, one := range s.of {
		if i > 0 {
			b = append(b, ',')
		}
		sep := `{"`
		for _, m := range []struct {
			name string
			v    float64
		}{{"sum", one.sum}, {"count", one.count}, {"min", one.min}, {"max", one.max}, {"sumsqr", one.sumsqr}} {
			b = append(append(append(b, sep...), m.name...), `":`...)
			b = appendNumber(b, m.v)
			sep = `,"`
		}
		b = append(b, '}')
	}
	if s.list {
		return list(b)
	}
	return b
}
