package bigcouch

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// seqString returns an update sequence as clients see it: the number, for
// people, and what we read back. It names the incarnation of the database and
// the epoch of its shard.
func seqString(db *store.Database, n uint64) string {
	b := binary.BigEndian.AppendUint64(nil, db.ID)
	b = binary.AppendUvarint(b, n)
	if db.Epoch > 0 {
		b = binary.AppendUvarint(b, db.Epoch)
	}
	return strconv.FormatUint(n, 10) + "-" + base64.RawURLEncoding.EncodeToString(b)
}

// parseSeq reads a sequence of the wire. One of another incarnation or epoch, or
// from the future of this one, which is that of a restored backup, is 0: a
// follower of changes sees some again, but never skips any.
func parseSeq(db *store.Database, s string, now uint64) (uint64, error) {
	switch s = strings.Trim(s, `"`); s {
	case "", "0":
		return 0, nil
	case "now":
		return now, nil
	}
	id, n, epoch, err := splitSeq(s)
	if err != nil || id != db.ID || epoch != db.Epoch || n > now {
		return 0, err
	}
	return n, nil
}

var errSince = badRequest("Malformed sequence supplied in 'since' parameter.")

// splitSeq takes a sequence apart.
func splitSeq(s string) (id, n, epoch uint64, err error) {
	_, opaque, ok := strings.Cut(s, "-")
	raw, err := base64.RawURLEncoding.DecodeString(opaque)
	if !ok || err != nil || len(raw) < 9 {
		return 0, 0, 0, errSince
	}
	n, size := binary.Uvarint(raw[8:])
	more := 0
	if size > 0 && size < len(raw)-8 {
		epoch, more = binary.Uvarint(raw[8+size:])
	}
	if size <= 0 || more < 0 || 8+size+more != len(raw) {
		return 0, 0, 0, errSince
	}
	return binary.BigEndian.Uint64(raw), n, epoch, nil
}
