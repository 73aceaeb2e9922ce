package store

import (
	"encoding/binary"
	"errors"
)

// errRow means that a row is not what this program writes.
var errRow = errors.New("store: malformed row")

// A row is taken apart from the front. After the first error everything it returns is
// zero, and err is set. Strings share the memory of the row.
type row struct {
	s   string
	err error
}

func (r *row) uint() uint64 {
	var x uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		c := r.s[i]
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.s = r.s[i+1:]
			return x
		}
	}
	r.fail()
	return 0
}

func (r *row) byte() byte {
	if r.s == "" {
		r.fail()
		return 0
	}
	c := r.s[0]
	r.s = r.s[1:]
	return c
}

func (r *row) take(n uint64) string {
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

func (r *row) string() string { return r.take(r.uint()) }

// count returns the length of a list whose members have at least one byte.
func (r *row) count() int {
	n := r.uint()
	if n > uint64(len(r.s)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *row) rev() Rev {
	gen := r.uint()
	return Rev{Gen: int(gen), id: r.string()}
}

func (r *row) fail() { r.s, r.err = "", errRow }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendRev(b []byte, r Rev) []byte {
	return appendString(binary.AppendUvarint(b, uint64(r.Gen)), r.id)
}
