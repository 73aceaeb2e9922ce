package u1db

import (
	"encoding/hex"
	"fmt"
	"io"
)

// Limits of identifiers, in bytes. The grammar is that of leap-protocols.md
// 7.2; the lengths are ours, so that an identifier fits into a database key.
const (
	maxDocID    = 255
	maxReplica  = 64
	maxDatabase = 128
	maxTransID  = 64
)

// ValidDocID reports whether s is a document id: [a-zA-Z0-9.%_-]+, at most 255
// bytes. "." and ".." are refused, since an id is an element of a URL path.
func ValidDocID(s string) bool { return s != "." && s != ".." && only(s, maxDocID, "._-%") }

// ValidReplica reports whether s can be a replica uid: [a-zA-Z0-9._-]+, at
// most 64 bytes. Ours are the 32 hex digits of a uuid4.
func ValidReplica(s string) bool { return s != "." && s != ".." && only(s, maxReplica, "._-") }

// ValidDatabase reports whether s is a database name:
// [a-zA-Z0-9][a-zA-Z0-9.-]*, at most 128 bytes.
func ValidDatabase(s string) bool {
	return only(s, maxDatabase, ".-") && s[0] != '.' && s[0] != '-'
}

// ValidTransID reports whether s can be a transaction id of a generation above
// 0: [a-zA-Z0-9._-]+, at most 64 bytes.
func ValidTransID(s string) bool { return only(s, maxTransID, "._-") }

// only reports whether s is 1 to limit letters, digits and bytes of extra.
func only(s string, limit int, extra string) bool {
	if s == "" || len(s) > limit {
		return false
	}
next:
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			continue
		}
		for j := range len(extra) {
			if c == extra[j] {
				continue next
			}
		}
		return false
	}
	return true
}

// NewDocID returns a fresh document id, "D-" and a uuid4 in hex.
func NewDocID(rand io.Reader) (string, error) { return prefixed("D-", rand) }

// NewTransID returns a fresh transaction id, "T-" and a uuid4 in hex.
func NewTransID(rand io.Reader) (string, error) { return prefixed("T-", rand) }

// NewReplica returns a fresh replica uid, a uuid4 in hex. Sync ids are made
// the same way.
func NewReplica(rand io.Reader) (string, error) { return prefixed("", rand) }

func prefixed(prefix string, rand io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("drawing an identifier: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40 // RFC 9562, 5.4: version 4,
	b[8] = b[8]&0x3f | 0x80 // variant 10.
	return prefix + hex.EncodeToString(b[:]), nil
}
