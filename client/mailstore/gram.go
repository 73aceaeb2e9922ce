package mailstore

import (
	"strings"
)

// The index answers one question: which messages can contain a string. It
// holds, for each message, the set of trigrams of its folded header and text,
// hashed to 20 bits: a string can only be where all its trigrams are. What the
// index names is then compared for real, so a collision costs time and no
// correctness.

// maxIndexed is how many bytes of header and text are indexed. What is longer
// always counts as possible.
const maxIndexed = 256 << 10

const gramBits = 20

// fold is the case folding of searches. It makes valid UTF-8 without NUL.
func fold(s string) string {
	return strings.ToLower(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD"))
}

// grams returns the hashed trigrams of a folded text as words, each once.
func grams(folded string) string {
	var seen [1 << gramBits / 64]uint64
	var b strings.Builder
	var r1, r2 uint32
	n := 0
	for _, r := range folded {
		r3 := uint32(r)
		if n++; n >= 3 {
			h := r1*0x9e3779b1 ^ r2*0x85ebca6b ^ r3*0xc2b2ae35
			h = (h ^ h>>15) * 0x2c1b3c6d >> (32 - gramBits)
			if seen[h/64]&(1<<(h%64)) == 0 {
				seen[h/64] |= 1 << (h % 64)
				writeGram(&b, h)
			}
		}
		r1, r2 = r2, r3
	}
	return b.String()
}

func writeGram(b *strings.Builder, h uint32) {
	const digits = "abcdefghijklmnopqrstuvwxyz012345"
	for range gramBits / 5 {
		b.WriteByte(digits[h&31])
		h >>= 5
	}
	b.WriteByte(' ')
}

// match returns the FTS5 query for the messages that can contain a folded
// string, or "" if it is too short to tell.
func match(folded string) string {
	const most = 24 // Terms; more narrow hardly further.
	words := strings.Fields(grams(folded))
	return strings.Join(words[:min(len(words), most)], " AND ")
}
