package store

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// A Rev is one revision of a document: its generation and, usually, an MD5 in
// hex. The zero Rev is none. Revs are comparable.
type Rev struct {
	Gen int
	id  string // 0 and 16 bytes, or the text after the dash.
}

// maxGen and maxRevText bound what is taken from the wire.
const (
	maxGen     = 1 << 40
	maxRevText = 128
)

// ParseRev reads "1-9b7b…". Text after the dash other than 32 hex digits is
// legal if it is printable.
func ParseRev(s string) (Rev, error) {
	gen, text, ok := strings.Cut(s, "-")
	n, err := strconv.ParseUint(gen, 10, 63)
	if !ok || err != nil || n < 1 || n > maxGen || gen[0] == '+' || text == "" || len(text) > maxRevText {
		return Rev{}, fmt.Errorf("revision %.40q: not a number, a dash and a name", s)
	}
	return MakeRev(int(n), text)
}

// MakeRev returns the revision of a generation and the text after the dash.
func MakeRev(gen int, text string) (Rev, error) {
	if gen < 1 || gen > maxGen || text == "" || len(text) > maxRevText {
		return Rev{}, fmt.Errorf("revision %d-%.40q out of bounds", gen, text)
	}
	if len(text) == 32 {
		if raw, err := hex.DecodeString(text); err == nil {
			return Rev{gen, "\x00" + string(raw)}, nil
		}
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return Rev{}, fmt.Errorf("revision %.40q: byte %#x", text, c)
		}
	}
	return Rev{gen, text}, nil
}

// IsZero reports whether r is none.
func (r Rev) IsZero() bool { return r == Rev{} }

// Hash returns the text after the dash.
func (r Rev) Hash() string {
	if r.id != "" && r.id[0] == 0 {
		return hex.EncodeToString([]byte(r.id[1:]))
	}
	return r.id
}

// String returns the form of the wire; the zero Rev is "".
func (r Rev) String() string {
	if r.IsZero() {
		return ""
	}
	return strconv.Itoa(r.Gen) + "-" + r.Hash()
}

// MarshalText implements encoding.TextMarshaler.
func (r Rev) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rev) UnmarshalText(text []byte) (err error) {
	if *r = (Rev{}); len(text) > 0 {
		*r, err = ParseRev(string(text))
	}
	return err
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (r Rev) MarshalBinary() ([]byte, error) { return appendRev(nil, r), nil }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *Rev) UnmarshalBinary(data []byte) error {
	d := row{s: string(data)}
	*r = d.rev()
	if d.s != "" || r.Gen < 0 || r.Gen > maxGen || len(r.id) > maxRevText || (r.Gen == 0) != (r.id == "") {
		d.fail()
	}
	return d.err
}

// compare orders revisions by generation, then by hash.
func (r Rev) compare(o Rev) int {
	if c := cmp.Compare(r.Gen, o.Gen); c != 0 || r.id == o.id {
		return c
	}
	if r.id[0] == 0 && o.id[0] == 0 {
		return cmp.Compare(r.id, o.id)
	}
	return cmp.Compare(r.Hash(), o.Hash())
}

// child returns the revision that an edit of r makes: the MD5 of what was
// edited and what came of it, so that the same edit made in two places is the
// same revision. The id of the document is not part of it.
func (r Rev) child(deleted bool, body []byte, atts []Att) Rev {
	h := md5.New()
	buf := appendRev(nil, r)
	if deleted {
		buf = append(buf, 1)
	} else {
		buf = append(buf, 0)
	}
	buf = binary.AppendUvarint(buf, uint64(len(body)))
	h.Write(buf)
	h.Write(body)
	for _, a := range atts {
		buf = appendString(buf[:0], a.Name)
		buf = appendString(buf, a.Type)
		h.Write(append(buf, a.Digest[:]...))
	}
	return Rev{r.Gen + 1, string(h.Sum([]byte{0}))}
}
