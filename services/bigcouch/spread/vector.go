package spread

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// A Mark says how far one part has been read: to a sequence, in an epoch of the
// shard that the part is in.
type Mark struct{ Seq, Epoch uint64 }

// A Vector has a mark for each part.
type Vector []Mark

// ErrSequence means that a sequence is none that Encode has made.
var ErrSequence = errors.New("malformed sequence")

// Encode returns the sequence as clients see it: the sum, for people, and the
// incarnation of the database with the marks.
func (v Vector) Encode(db uint64) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+4*len(v)), db)
	sum := uint64(0)
	for _, m := range v {
		b = binary.AppendUvarint(binary.AppendUvarint(b, m.Seq), m.Epoch)
		sum += m.Seq
	}
	return strconv.FormatUint(sum, 10) + "-" + base64.RawURLEncoding.EncodeToString(b)
}

// Parse reads what Encode has made. Marks of another incarnation, or of a
// database with another number of parts, are zero: a follower of changes sees
// some again, but never skips any.
func Parse(s string, db uint64, parts int) (Vector, error) {
	_, opaque, ok := strings.Cut(s, "-")
	raw, err := base64.RawURLEncoding.DecodeString(opaque)
	if !ok || err != nil || len(raw) < 9 {
		return nil, ErrSequence
	}
	var list []uint64
	for rest := raw[8:]; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			return nil, ErrSequence
		}
		list, rest = append(list, n), rest[size:]
	}
	v := make(Vector, parts)
	if binary.BigEndian.Uint64(raw) != db || len(list) != 2*parts {
		return v, nil
	}
	for i := range v {
		v[i] = Mark{list[2*i], list[2*i+1]}
	}
	return v, nil
}
