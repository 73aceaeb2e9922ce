package nick

import "time"

// A Level says who vouches that a key belongs to an address, from nobody to
// the user in person (mail.md 7). The numbers are stored: never change one.
type Level int

const (
	NoTrust   Level = iota // Nobody.
	Seen                   // Autocrypt or attached, in a message.
	KeyServer              // A key server that is not the address's own provider.
	Endorsed               // The address's provider, by TLS: WKD or its nickserver.
	Logged                 // DNSSEC, or an inclusion proof of a key log.
	Consensus              // Two independent paths, or a monitored log.
	UsedBoth               // Encrypted to, and verified a signature of.
	Compared               // The user compared the fingerprint.
)

// String returns the name of l, for people and for logs.
func (l Level) String() string {
	names := [...]string{"none", "seen", "key-server", "provider", "logged", "consensus", "used-both-ways", "fingerprint"}
	if l < 0 || int(l) >= len(names) {
		return "unknown"
	}
	return names[l]
}

// A Pin is what is remembered of the key of an address.
type Pin struct {
	Fingerprint string // Empty: no key is known.
	Level       Level
	Expires     time.Time // Zero: never.
	Encrypted   bool      // A message was encrypted to it.
	Verified    bool      // A signature by it was verified.
	CertifiedBy string    // Fingerprint of a key whose signature on this one was verified.
}

// CanReplace decides whether new may take the place of old, and names the
// rule: leap-protocols.md 8.6, the first that applies.
func CanReplace(old, new Pin, now time.Time) (ok bool, reason string) {
	switch {
	case old.Fingerprint == "":
		return true, "no key was known"
	case old.Fingerprint == new.Fingerprint:
		return true, "same key"
	case new.Level == Compared:
		return true, "fingerprint was compared"
	case !old.Expires.IsZero() && !now.Before(old.Expires) && new.Level >= old.Level:
		return true, "old key is expired"
	case old.Expires.IsZero() && new.Level > old.Level:
		return true, "old key never expires and new one is better vouched for"
	case !(old.Encrypted && old.Verified) && new.Level > old.Level:
		return true, "old key was not used both ways and new one is better vouched for"
	case new.CertifiedBy == old.Fingerprint:
		return true, "new key is signed by the old"
	}
	return false, "the known key is kept"
}
