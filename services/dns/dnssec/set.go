package dnssec

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A set is all records of one name and type of one section, with the
// signatures that came with them.
type set struct {
	name  string
	rtype uint16
	rrs   []dns.RR
	sigs  []*dns.RRSIG
}

// A setKey names a set.
type setKey struct {
	name  string
	rtype uint16
}

// maxSets bounds the sets of one section that are looked at.
const maxSets = 64

// sets gathers the sets of a section. Records are copied, their names are
// canonical; those of other classes are left out.
func sets(section []dns.RR) map[setKey]*set {
	all := map[setKey]*set{}
	get := func(name string, rtype uint16) *set {
		k := setKey{name, rtype}
		if all[k] == nil && len(all) < maxSets {
			all[k] = &set{name: name, rtype: rtype}
		}
		return all[k]
	}
	for _, rr := range section {
		if rr.Header().Class != dns.ClassINET {
			continue
		}
		rr = dns.Copy(rr)
		h := rr.Header()
		h.Name = dns.CanonicalName(h.Name)
		if sig, ok := rr.(*dns.RRSIG); ok {
			sig.SignerName = dns.CanonicalName(sig.SignerName)
			if s := get(h.Name, sig.TypeCovered); s != nil {
				s.sigs = append(s.sigs, sig)
			}
			continue
		}
		if s := get(h.Name, h.Rrtype); s != nil {
			s.rrs = append(s.rrs, rr)
		}
	}
	for k, s := range all {
		if len(s.rrs) == 0 {
			delete(all, k) // Signatures of nothing.
		}
	}
	return all
}

// records returns the set and its signatures, for an answer.
func (s *set) records() []dns.RR {
	list := slices.Clone(s.rrs)
	for _, sig := range s.sigs {
		list = append(list, sig)
	}
	return list
}

// ttl returns the least TTL of the set.
func (s *set) ttl() uint32 {
	least := s.rrs[0].Header().Ttl
	for _, rr := range s.rrs {
		least = min(least, rr.Header().Ttl)
	}
	return least
}

// cut cuts the TTLs of a set to what sig, which is valid at time now, allows,
// and leaves it sig alone: RFC 4035, 5.3.3.
func (s *set) cut(sig *dns.RRSIG, now time.Time) {
	left := sig.Expiration - uint32(now.Unix()) // RFC 4034, 3.1.5: serial number arithmetic.
	ttl := min(s.ttl(), sig.OrigTtl, left, sig.Hdr.Ttl)
	s.sigs = []*dns.RRSIG{sig}
	for _, rr := range s.records() {
		rr.Header().Ttl = ttl
	}
}
