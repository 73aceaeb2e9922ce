package flags

import (
	"slices"
	"strings"
)

// System flags, RFC 9051, 2.3.2. Mail programs may compare them as written:
// mbsync 1.4.4 ignores "\seen".
const (
	Seen     = `\Seen`
	Answered = `\Answered`
	Flagged  = `\Flagged`
	Deleted  = `\Deleted`
	Draft    = `\Draft`
)

// Keywords that LEAP sets on received mail.
const (
	Signed    = "$signed"    // A valid signature of the sender.
	Encrypted = "$encrypted" // Encrypted by the sender.
)

var known = []string{
	Seen, Answered, Flagged, Deleted, Draft, Signed, Encrypted,
	"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important", "Junk", "NonJunk",
}

// Canonical returns how a flag is written: system flags and well-known
// keywords in the case of their definition, others as they are.
func Canonical(flag string) string {
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, flag) })
	if i < 0 {
		return flag
	}
	return known[i]
}

// Valid reports whether a flag can be kept: a system flag other than \Recent,
// or a keyword: an atom (RFC 9051, 9) of at most 128 bytes.
func Valid(flag string) bool {
	if strings.HasPrefix(flag, `\`) {
		return slices.Contains(known[:5], Canonical(flag))
	}
	if flag == "" || len(flag) > maxName {
		return false
	}
	for i := range len(flag) {
		if c := flag[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
