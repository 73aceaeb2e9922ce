package spread

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// Of returns the part, of so many, that a document belongs to, as CouchDB has it:
// by the CRC-32 of its id. Design documents belong to part 0; the other parts
// have copies of them.
func Of(id string, parts int) int {
	if strings.HasPrefix(id, "_design/") {
		return 0
	}
	return int(uint64(crc32.ChecksumIEEE([]byte(id))) / width(parts))
}

// width is how many values of the hash are those of one part.
func width(parts int) uint64 { return (1<<32 + uint64(parts) - 1) / uint64(parts) }

// Range returns the values of the hash that are those of a part, in CouchDB's
// words.
func Range(part, parts int) string {
	w := width(parts)
	return fmt.Sprintf("%08x-%08x", uint64(part)*w, min(uint64(part+1)*w, 1<<32)-1)
}
