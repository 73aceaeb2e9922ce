package mango

import (
	"bytes"
	"slices"

	"leap.example/services/bigcouch/order"
)

// holdsForList applies an operator that is about arrays.
func (t test) holdsForList(list []any) bool {
	switch t.op {
	case "$size":
		return int64(len(list)) == t.n[0]
	case "$all":
		return t.allIn(list)
	case "$elemMatch":
		return slices.ContainsFunc(list, t.sub.match)
	case "$allMatch":
		for _, e := range list {
			if !t.sub.match(e) {
				return false
			}
		}
		return len(list) > 0
	}
	return false
}

// in reports whether v, or an element of it if it is an array, is one of the
// arguments.
func (t test) in(v any) bool {
	list, ok := v.([]any)
	if !ok {
		return t.hasKey(v)
	}
	return slices.ContainsFunc(list, t.hasKey)
}

func (t test) hasKey(v any) bool {
	k := order.Append(nil, v)
	for _, key := range t.keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// allIn reports whether list has all the arguments, or is the only one.
func (t test) allIn(list []any) bool {
	if len(t.keys) == 1 && bytes.Equal(order.Append(nil, list), t.keys[0]) {
		return true
	}
	for _, key := range t.keys {
		have := false
		for _, e := range list {
			have = have || bytes.Equal(order.Append(nil, e), key)
		}
		if !have {
			return false
		}
	}
	return true
}

// someKey reports whether a name of v's members satisfies the condition.
func (t test) someKey(v any) bool {
	m, _ := v.(map[string]any)
	for name := range m {
		if t.sub.match(name) {
			return true
		}
	}
	return false
}
