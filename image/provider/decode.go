package provider

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decode reads v into a Go value strictly, like [node.Decode], and finds all
// that is wrong: each error names the place where the value was written, which
// may be another file for each.
func decode(v *value, into any) []error {
	var d decoder
	d.value(v, reflect.ValueOf(into).Elem(), "")
	return d.errs
}

type decoder struct{ errs []error }

func (d *decoder) failf(v *value, pointer, format string, args ...any) {
	d.errs = append(d.errs, v.errorf(pointer, format, args...))
}

func (d *decoder) value(v *value, into reflect.Value, pointer string) {
	t := into.Type()
	switch {
	case v.null():
		return
	case t.Kind() == reflect.Pointer:
		into.Set(reflect.New(t.Elem()))
		d.value(v, into.Elem(), pointer)
	case ownReader(t):
		d.leaf(v, into, pointer)
	case t.Kind() == reflect.Struct && v.members != nil:
		d.object(v, into, pointer)
	case t.Kind() == reflect.Map && v.members != nil:
		into.Set(reflect.MakeMap(t))
		for _, m := range v.members {
			e := reflect.New(t.Elem()).Elem()
			d.value(m.value, e, pointer+"/"+escape(m.name))
			into.SetMapIndex(reflect.ValueOf(m.name).Convert(t.Key()), e)
		}
	case t.Kind() == reflect.Slice && v.members == nil:
		list := items(v) // A scalar is a list of one.
		into.Set(reflect.MakeSlice(t, len(list), len(list)))
		for i, e := range list {
			d.value(e, into.Index(i), pointer+"/"+strconv.Itoa(i))
		}
	default:
		d.leaf(v, into, pointer)
	}
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func ownReader(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(jsonReader) || reflect.PointerTo(t).Implements(textReader)
}

func (d *decoder) leaf(v *value, into reflect.Value, pointer string) {
	err := json.Unmarshal(v.json(), into.Addr().Interface())
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		d.failf(v, pointer, "this is %s, but %s is required", v.kind(), wanted(into.Type()))
		return
	}
	d.failf(v, pointer, "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// wanted says what a type is written as.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		if ownReader(t) {
			return "a string"
		}
		return "an object"
	}
	if ownReader(t) {
		return "a string"
	}
	return "a number within limits"
}

func (d *decoder) object(v *value, into reflect.Value, pointer string) {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(into.Type()) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && tag != "-" {
			fields[tag] = f.Index
		}
	}
	for _, m := range v.members {
		inner := pointer + "/" + escape(m.name)
		index, ok := fields[m.name]
		if !ok {
			d.errs = append(d.errs, m.from.at(m.offset, inner, "there is no such member; %s", choices(fields, m.name)))
			continue
		}
		d.value(m.value, into.FieldByIndex(index), inner)
	}
}

// choices names the members that there are, or the one that was meant.
func choices(fields map[string][]int, name string) string {
	var names []string
	for f := range fields {
		if near(f, name) {
			return "is it " + f + "?"
		}
		names = append(names, f)
	}
	slices.Sort(names)
	return "there are " + strings.Join(names, ", ")
}

// near reports whether two names differ by one letter or by case.
func near(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i < len(a) && a[i+1:] == b[i+1:]
	}
	return len(b) == len(a)+1 && a[i:] == b[i+1:]
}
