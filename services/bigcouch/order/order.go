// Package order turns JSON values into bytes whose plain comparison is the
// order in which CouchDB sorts keys: null, false, true, numbers, strings,
// arrays, objects. A key of an index is then a key of the store, and a range
// of keys is a range of bytes.
//
// # Form
//
// A value is one byte that names its class, and what the class needs:
//
//	null, false, true   nothing
//	number              IEEE 754, big-endian, sign flipped (all bits if negative)
//	string              collation key, then the string itself to break ties,
//	                    each with 0x00 written as 0x00 0xff and ended by 0x00 0x01
//	array               its elements, ended by 0x00
//	object              its members in the order of their names, each as string
//	                    and value, ended by 0x00
//
// Every value ends itself: no encoding is the beginning of another one, so
// values may be put one behind the other and something else behind them. No
// class byte and no end is 0xff: the encoding followed by 0xff lies behind
// everything that begins with the encoding.
//
// # Limits
//
// Strings are compared by the root collation of golang.org/x/text, whose
// tables are older than those of CouchDB's ICU: punctuation and new scripts may
// stand elsewhere, digits and Latin letters do not. The order of an object's
// members is not known to a Go map and counts as sorted. Numbers are compared as
// float64: integers beyond 2^53 may be equal. The bytes are not meant to be
// decoded; they depend on [Version].
package order

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// Version names the form of the bytes and the tables that they come from. What
// was stored under another version has to be built again.
const Version = "1-" + collate.CLDRVersion + "-" + collate.UnicodeVersion

// Class bytes, in order. Each is above the end of an array or object (0x00).
const (
	null byte = 0x10 + iota
	no
	yes
	number
	text
	array
	object
)

// Append appends the encoding of v to dst. v is what encoding/json decodes
// into an any, with or without UseNumber: nil, bool, float64, json.Number,
// string, []any, map[string]any; it may also be an int. Append panics on any
// other type. It may be called from several goroutines.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, null)
	case bool:
		if v {
			return append(dst, yes)
		}
		return append(dst, no)
	case int:
		return appendNumber(dst, float64(v))
	case float64:
		return appendNumber(dst, v)
	case json.Number:
		f, _ := v.Float64() // Out of range: an infinity with the right sign.
		return appendNumber(dst, f)
	case string:
		return appendText(append(dst, text), v)
	case []any:
		dst = append(dst, array)
		for _, e := range v {
			dst = Append(dst, e)
		}
		return append(dst, 0)
	case map[string]any:
		return appendObject(append(dst, object), v)
	}
	panic(fmt.Sprintf("order: %T is not a JSON value", v))
}

func appendNumber(dst []byte, f float64) []byte {
	if f == 0 {
		f = 0 // -0 equals 0.
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(append(dst, number), bits)
}

func appendObject(dst []byte, v map[string]any) []byte {
	type member struct {
		key  []byte
		name string
	}
	members := make([]member, 0, len(v))
	for name := range v {
		members = append(members, member{appendText([]byte{text}, name), name})
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.key, b.key) })
	for _, m := range members {
		dst = Append(append(dst, m.key...), v[m.name])
	}
	return append(dst, 0)
}

// A collator and its buffer serve one goroutine at a time.
type collator struct {
	c   *collate.Collator
	buf collate.Buffer
}

var collators = sync.Pool{New: func() any {
	return &collator{c: collate.New(language.Und)}
}}

func appendText(dst []byte, s string) []byte {
	c := collators.Get().(*collator)
	c.buf.Reset()
	dst = appendEscaped(dst, c.c.KeyFromString(&c.buf, s))
	collators.Put(c)
	return appendEscaped(dst, []byte(s))
}

func appendEscaped(dst, s []byte) []byte {
	for _, b := range s {
		dst = append(dst, b)
		if b == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}
