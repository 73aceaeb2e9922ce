package nick

import (
	"strings"

	"leap.example/services/protocol/problem"
)

// An Address is a mail address in canonical form: lower-case ASCII, a dot-atom,
// "@", a host name. Two texts for one mailbox of ours give the same Address.
type Address string

// ParseAddress returns the canonical form of s, or an Invalid error. Quoted
// local parts, address literals and characters beyond ASCII are refused;
// domains beyond ASCII are written as A-labels (xn--).
func ParseAddress(s string) (Address, error) {
	s = strings.Map(lower, s)
	local, domain, ok := strings.Cut(s, "@")
	// RFC 5321, 4.5.3.1: lengths of local part, domain and path.
	if !ok || len(local) > 64 || len(s) > 254 || !dotted(local, atom) || !dotted(domain, label) {
		return "", problem.Invalid.Errorf("malformed mail address")
	}
	return Address(s), nil
}

// Local returns the part before "@".
func (a Address) Local() string { return string(a[:a.at()]) }

// Domain returns the part after "@".
func (a Address) Domain() string { return strings.TrimPrefix(string(a[a.at():]), "@") }

// Base returns the address without the "+suffix" of its local part: the name
// under which keys are kept (leap-protocols.md 8.7).
func (a Address) Base() Address {
	if i := strings.IndexByte(a.Local(), '+'); i > 0 {
		return a[:i] + a[a.at():]
	}
	return a
}

func (a Address) at() int {
	if i := strings.IndexByte(string(a), '@'); i >= 0 {
		return i
	}
	return len(a)
}

// lower folds ASCII alone: folding Unicode would let other letters become ours.
func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// dotted reports whether s is a sequence of parts separated by single dots.
func dotted(s string, part func(string) bool) bool {
	for p := range strings.SplitSeq(s, ".") {
		if !part(p) {
			return false
		}
	}
	return true
}

// atom is RFC 5322, 3.2.3.
func atom(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !alphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	})
}

// label is RFC 1123, 2.1.
func label(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool { return !alphanumeric(r) && r != '-' })
}

func alphanumeric(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' }
