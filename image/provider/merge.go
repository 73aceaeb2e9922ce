package provider

import (
	"bytes"
	"slices"
	"strings"
)

// merge puts the members of over, an object, into those of base, by LEAP's
// rules, and returns the result. Neither is changed.
func merge(base, over *value, pointer string) (*value, error) {
	out := &value{from: over.from, offset: over.offset, members: slices.Clone(base.members)}
	for _, m := range over.members {
		prefix, name := split(m.name)
		inner := pointer + "/" + escape(name)
		i := slices.IndexFunc(out.members, func(o member) bool { return o.name == name })
		var old *value
		if i >= 0 {
			old = out.members[i].value
		}
		result, err := combine(prefix, old, m.value, inner)
		if err != nil {
			return nil, err
		}
		switch {
		case result == nil && i >= 0:
			out.members = slices.Delete(out.members, i, i+1)
		case result == nil:
		case i >= 0:
			out.members[i] = member{name, m.from, m.offset, result}
		default:
			out.members = append(out.members, member{name, m.from, m.offset, result})
		}
	}
	return out, nil
}

// split separates the prefix of a name, 0 if it has none.
func split(name string) (prefix byte, rest string) {
	const prefixes = "+-!"
	if len(name) > 1 && strings.IndexByte(prefixes, name[0]) >= 0 && strings.IndexByte(prefixes, name[1]) < 0 {
		return name[0], name[1:]
	}
	return 0, name
}

// combine returns what a member becomes: nil, that it is not there.
func combine(prefix byte, old, over *value, pointer string) (*value, error) {
	switch {
	case over.null():
		return nil, nil
	case prefix == '-':
		if old == nil {
			return nil, nil
		}
		if old.members != nil || over.members != nil {
			return nil, over.errorf(pointer, `"-" removes elements of an array; an object's member is taken away with null`)
		}
		return without(old, over), nil
	case prefix == '+' && over.members == nil && (old == nil || old.members == nil):
		return with(old, over), nil
	case prefix == '!', old == nil:
		if over.members == nil {
			return over, nil
		}
		// What is inside may have prefixes too.
		return merge(&value{members: []member{}}, over, pointer)
	case old.members != nil && over.members != nil:
		return merge(old, over, pointer)
	case old.members != nil || over.members != nil:
		at := old.errorf("", "")
		return nil, over.errorf(pointer, "this is %s, but %s in %s:%d; to replace it write %q", over.kind(), old.kind(), at.File, at.Line, "!"+last(pointer))
	case over.elements == nil && old.elements != nil:
		return with(old, over), nil
	}
	return over, nil
}

func last(pointer string) string {
	return unescape(pointer[strings.LastIndexByte(pointer, '/')+1:])
}

// items returns the elements of an array, or a scalar as the only one.
func items(v *value) []*value {
	switch {
	case v == nil:
		return nil
	case v.elements != nil:
		return v.elements
	}
	return []*value{v}
}

// with returns the elements of old and those of more that it has not.
func with(old, more *value) *value {
	out := &value{from: more.from, offset: more.offset, elements: slices.Clone(items(old))}
	for _, e := range items(more) {
		if !contains(out.elements, e) {
			out.elements = append(out.elements, e)
		}
	}
	if out.elements == nil {
		out.elements = []*value{}
	}
	return out
}

// without returns the elements of old that are not in less.
func without(old, less *value) *value {
	out := &value{from: less.from, offset: less.offset, elements: []*value{}}
	for _, e := range items(old) {
		if !contains(items(less), e) {
			out.elements = append(out.elements, e)
		}
	}
	return out
}

func contains(list []*value, v *value) bool {
	return slices.ContainsFunc(list, func(e *value) bool { return bytes.Equal(e.json(), v.json()) })
}

// unset finds what is still "REQUIRED".
func unset(v *value, pointer string) (errs []error) {
	if string(v.literal) == `"REQUIRED"` {
		return []error{v.errorf(pointer, "this is required, and nothing later gives it a value")}
	}
	for _, m := range v.members {
		errs = append(errs, unset(m.value, pointer+"/"+escape(m.name))...)
	}
	return errs
}
