package mango

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"leap.example/services/bigcouch/order"
)

// maxPattern is the limit of a $regex, bytes.
const maxPattern = 1024

// A test is one operator with its argument, applied to a value that is there.
type test struct {
	op   string
	not  bool // Of operators that have no opposite.
	raw  bool // Strings are compared by bytes: the field is _id.
	yes  bool // $exists.
	arg  any
	key  []byte   // Of the comparisons: arg in order.
	keys [][]byte // $in, $nin, $all.
	n    [2]int64 // $size; $mod.
	re   *regexp.Regexp
	sub  expr
}

var opposite = map[string]string{
	"$eq": "$ne", "$ne": "$eq", "$lt": "$gte", "$gte": "$lt", "$lte": "$gt", "$gt": "$lte", "$in": "$nin", "$nin": "$in",
}

var unsupported = map[string]bool{
	"$text": true, "$where": true, "$geoWithin": true, "$geoIntersects": true, "$near": true, "$nearSphere": true,
}

var others = map[string]bool{
	"$exists": true, "$type": true, "$mod": true, "$regex": true, "$beginsWith": true, "$size": true,
	"$all": true, "$elemMatch": true, "$allMatch": true, "$keyMapMatch": true,
}

func known(op string) bool { return opposite[op] != "" || others[op] }

func (t test) negated() test {
	switch {
	case opposite[t.op] != "":
		t.op = opposite[t.op]
	case t.op == "$exists":
		t.yes = !t.yes
	default:
		t.not = !t.not
	}
	return t
}

// test reads the argument of an operator.
func (p *parser) test(op string, arg any, raw bool) (test, error) {
	t := test{op: op, arg: arg, raw: raw}
	ok := true
	switch op {
	case "$eq", "$ne", "$lt", "$lte", "$gt", "$gte":
		t.key = order.Append(nil, arg)
	case "$in", "$nin", "$all":
		var list []any
		list, ok = arg.([]any)
		for _, e := range list {
			t.keys = append(t.keys, order.Append(nil, e))
		}
	case "$exists":
		t.yes, ok = arg.(bool)
	case "$type", "$beginsWith":
		_, ok = arg.(string)
	case "$size":
		t.n[0], ok = integer(arg)
		ok = ok && t.n[0] >= 0
	case "$mod":
		list, _ := arg.([]any)
		ok = len(list) == 2
		for i := range list[:min(2, len(list))] {
			var fine bool
			t.n[i], fine = integer(list[i])
			ok = ok && fine
		}
		ok = ok && t.n[0] != 0
	case "$regex":
		s, is := arg.(string)
		var err error
		t.re, err = regexp.Compile(s)
		ok = is && err == nil && len(s) <= maxPattern
	case "$elemMatch", "$allMatch", "$keyMapMatch":
		return p.nested(t)
	default:
		if unsupported[op] {
			return t, refuse("not_supported", "Unsupported operator: %s", op)
		}
		return t, refuse("invalid_operator", "Invalid operator: %.200s", op)
	}
	if !ok {
		return t, badArg(op, arg)
	}
	return t, nil
}

// nested reads the condition on elements of a value, which begins anew: it has
// its own fields, and a negation outside negates the answer.
func (p *parser) nested(t test) (test, error) {
	m, ok := t.arg.(map[string]any)
	if !ok {
		return t, badArg(t.op, t.arg)
	}
	var err error
	t.sub, err = (&parser{element: true, depth: p.depth}).object(m, "")
	return t, err
}

// match applies t to v.
func (t test) match(v any) bool { return t.holds(v) != t.not }

func (t test) holds(v any) bool {
	switch t.op {
	case "$eq":
		return t.compare(v) == 0
	case "$ne":
		return t.compare(v) != 0
	case "$lt":
		return t.compare(v) < 0
	case "$lte":
		return t.compare(v) <= 0
	case "$gt":
		return t.compare(v) > 0
	case "$gte":
		return t.compare(v) >= 0
	case "$in":
		return t.in(v)
	case "$nin":
		return !t.in(v)
	case "$exists":
		return t.yes
	case "$type":
		return t.arg == typeOf(v)
	case "$mod":
		n, ok := integer(v)
		return ok && n%t.n[0] == t.n[1]
	case "$regex":
		s, ok := v.(string)
		return ok && t.re.MatchString(s)
	case "$beginsWith":
		s, ok := v.(string)
		return ok && strings.HasPrefix(s, t.arg.(string))
	case "$keyMapMatch":
		return t.someKey(v)
	}
	list, ok := v.([]any)
	return ok && t.holdsForList(list)
}

func (t test) compare(v any) int {
	if t.raw {
		a, isString := v.(string)
		b, both := t.arg.(string)
		if isString && both {
			return strings.Compare(a, b)
		}
	}
	return bytes.Compare(order.Append(nil, v), t.key)
}

// typeOf returns the name of v's type for $type.
func typeOf(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case json.Number, float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// integer returns v if it is a whole number that an int64 holds.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case float64:
		n := int64(v)
		return n, float64(n) == v && v >= -1<<53 && v <= 1<<53
	}
	return 0, false
}
