package delta

import (
	"encoding/binary"
	"math/bits"
)

// An index finds matches in a text.
type index struct {
	text []byte
	sa   []int32
	// Where the suffixes begin in sa that begin with two bytes or later ones.
	pairs []int32
}

func newIndex(text []byte) *index {
	x := &index{text, suffixes(text), make([]int32, 1<<16+1)}
	for i := range text {
		x.pairs[x.pair(i)+1]++
	}
	for i := range x.pairs[1:] {
		x.pairs[i+1] += x.pairs[i]
	}
	return x
}

// pair is the first two bytes of a suffix. That of one byte is before all of its
// bucket, as if a zero followed.
func (x *index) pair(i int) int {
	p := int(x.text[i]) << 8
	if i+1 < len(x.text) {
		p |= int(x.text[i+1])
	}
	return p
}

// longest returns where the text has the longest beginning of p, and its length.
// What is shorter than two bytes is not found.
func (x *index) longest(p []byte) (pos, n int) {
	if len(p) < 2 {
		return 0, 0
	}
	pair := int(p[0])<<8 | int(p[1])
	lo, hi := x.pairs[pair], x.pairs[pair+1]
	below, above := 0, 0 // How much of p the suffixes around lo and hi have.
	for lo < hi {
		mid := lo + (hi-lo)/2
		at := int(x.sa[mid])
		k := min(below, above)
		k += common(x.text[min(at+k, len(x.text)):], p[k:])
		if k > n {
			pos, n = at, k
		}
		switch {
		case k == len(p):
			return pos, n
		case at+k == len(x.text) || x.text[at+k] < p[k]:
			lo, below = mid+1, k
		default:
			hi, above = mid, k
		}
	}
	return pos, n
}

// common returns how many bytes a and b begin with in common.
func common(a, b []byte) (n int) {
	b = b[:min(len(a), len(b))]
	for len(b)-n >= 8 {
		if d := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
		n += 8
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
