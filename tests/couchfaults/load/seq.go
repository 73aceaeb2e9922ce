package load

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// A position is an update sequence taken apart: the incarnation of the database,
// and for each part how far it has been read and in which epoch. A database in
// one part leaves the first epoch out.
type position struct {
	incarnation uint64
	numbers     []uint64
}

var errSeq = errors.New("malformed sequence")

func parseSeq(s string) (p position, err error) {
	_, opaque, ok := strings.Cut(s, "-")
	raw, err := base64.RawURLEncoding.DecodeString(opaque)
	if !ok || err != nil || len(raw) < 9 {
		return p, errSeq
	}
	p.incarnation = binary.BigEndian.Uint64(raw)
	for raw = raw[8:]; len(raw) > 0; {
		n, size := binary.Uvarint(raw)
		if size <= 0 {
			return p, errSeq
		}
		p.numbers, raw = append(p.numbers, n), raw[size:]
	}
	return p, nil
}

// behind reports whether everything up to q has been seen at p, and in each epoch
// and part no less; more in some, if there is to be more.
func (p position) behind(q position, more bool) bool {
	if p.incarnation != q.incarnation || len(p.numbers) != len(q.numbers) || more && slices.Equal(p.numbers, q.numbers) {
		return false
	}
	for i, n := range p.numbers {
		if n < q.numbers[i] || i%2 == 1 && n != q.numbers[i] {
			return false
		}
	}
	return true
}
