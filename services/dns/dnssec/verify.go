package dnssec

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"time"

	"github.com/miekg/dns"
)

// supported reports whether signatures of an algorithm are verified: RFC 8624,
// 3.1, without SHA-1 (RFC 9905) and without Ed448, which Go does not have.
func supported(algorithm uint8) bool {
	switch algorithm {
	case dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	}
	return false
}

// A key is one key of a zone by which it may sign.
type key struct {
	*dns.DNSKEY
	tag uint16
}

// usable returns those of a set's keys that may verify signatures: zone keys,
// RFC 4034, 2.1.1 and 2.1.2, that are not revoked, RFC 5011, 2.1.
func usable(s *set) (keys []key) {
	tags := map[uint32]int{}
	for _, rr := range s.rrs {
		k, ok := rr.(*dns.DNSKEY)
		if !ok || k.Protocol != 3 || k.Flags&dns.ZONE == 0 || k.Flags&dns.REVOKE != 0 || !supported(k.Algorithm) || len(keys) == maxKeys {
			continue
		}
		tag := k.KeyTag()
		both := uint32(k.Algorithm)<<16 | uint32(tag)
		if tags[both]++; tags[both] <= maxTag {
			keys = append(keys, key{k, tag})
		}
	}
	return keys
}

// verify looks for a signature of zone by one of its keys that is valid now.
// Without one, code says what is wrong with the signatures there are.
func verify(s *set, zone string, keys []key, now time.Time, b *budget) (sig *dns.RRSIG, code uint16) {
	code = dns.ExtendedErrorCodeRRSIGsMissing
	tries := maxTries
	for _, sig := range s.sigs {
		switch {
		case sig.SignerName != zone || int(sig.Labels) > signedLabels(s.name):
			continue // RFC 4035, 5.3.1.
		case !supported(sig.Algorithm):
			code = dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm
			continue
		case !sig.ValidityPeriod(now):
			code = dns.ExtendedErrorCodeSignatureExpired
			if int32(sig.Inception-uint32(now.Unix())) > 0 {
				code = dns.ExtendedErrorCodeSignatureNotYetValid
			}
			continue
		}
		found := false
		for _, k := range keys {
			if k.tag != sig.KeyTag || k.Algorithm != sig.Algorithm {
				continue
			}
			found = true
			if !take(&tries) || !b.verification(len(s.rrs)) {
				return nil, dns.ExtendedErrorCodeDNSBogus
			}
			if sig.Verify(k.DNSKEY, s.rrs) == nil {
				return sig, 0
			}
		}
		code = dns.ExtendedErrorCodeDNSBogus
		if !found {
			code = dns.ExtendedErrorCodeDNSKEYMissing
		}
	}
	return nil, code
}

// digest reports whether ds is of k: RFC 4034, 5.1.4.
func digest(ds *dns.DS, k *dns.DNSKEY) bool {
	made := k.ToDS(ds.DigestType)
	if made == nil {
		return false
	}
	a, errA := hex.DecodeString(made.Digest)
	b, errB := hex.DecodeString(ds.Digest)
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(a, b) == 1
}

// digestible reports whether a DS record is one that can be checked: RFC 8624,
// 3.3, without SHA-1.
func digestible(ds *dns.DS) bool {
	switch ds.DigestType {
	case dns.SHA256:
		return len(ds.Digest) == 2*sha256.Size
	case dns.SHA384:
		return len(ds.Digest) == 2*sha512.Size384
	}
	return false
}
