package dnssec

import (
	"slices"

	"github.com/miekg/dns"
)

// denials are the records of one answer by which a secure zone says what is not
// there: NSEC or NSEC3, verified.
type denials struct {
	zone   *zone
	budget *budget
	nsec   []*dns.NSEC
	nsec3  []*dns.NSEC3
	sets   []*set // What proves, for the answer.
	ttl    uint32
	code   uint16 // Why there is no proof.

	excess bool // An NSEC3 record has more iterations than are computed.
	hashed map[string]string
}

// proof returns what z has signed in the authority section of the answer.
func (w *walk) proof(z *zone, authority map[setKey]*set) *denials {
	d := w.proofs[z.name]
	if d == nil {
		d = w.denials(z, authority)
		w.proofs[z.name] = d
	}
	return d
}

// denials gathers what z has signed in an authority section.
func (w *walk) denials(z *zone, authority map[setKey]*set) *denials {
	d := &denials{zone: z, budget: w.budget, ttl: maxTTL, code: dns.ExtendedErrorCodeNSECMissing, hashed: map[string]string{}}
	seen := 0
	for _, s := range authority {
		if s.rtype != dns.TypeNSEC && s.rtype != dns.TypeNSEC3 || !under(s.name, z.name) {
			continue
		}
		if seen++; seen > maxDenials {
			break
		}
		if n, ok := s.rrs[0].(*dns.NSEC3); ok && n.Iterations > maxIterations {
			// RFC 9276, 3.2: one that says so must be signed all the same.
			if sig, _ := verify(s, z.name, z.keys, w.now, w.budget); sig != nil {
				d.excess = true
			}
			continue
		}
		sig, code := verify(s, z.name, z.keys, w.now, w.budget)
		if sig == nil {
			d.code = code
			continue
		}
		if s.rtype == dns.TypeNSEC && int(sig.Labels) < signedLabels(s.name) {
			continue // A wildcard's, under another name: it proves nothing of that.
		}
		s.cut(sig, w.now)
		d.add(s)
	}
	return d
}

func (d *denials) add(s *set) {
	for _, rr := range s.rrs {
		switch rr := rr.(type) {
		case *dns.NSEC:
			rr.NextDomain = dns.CanonicalName(rr.NextDomain)
			d.nsec = append(d.nsec, rr)
		case *dns.NSEC3:
			if !d.understood(rr) {
				continue
			}
			d.nsec3 = append(d.nsec3, rr)
		}
	}
	d.sets = append(d.sets, s)
	d.ttl = min(d.ttl, s.ttl())
}

// A cut is what is proven of a name for which there are no DS records.
type cut int

const (
	unproven    cut = iota
	insecureCut     // A zone begins there, or may, and it is not signed.
	noCut           // None begins there.
)

// delegation returns what is proven of a name below the zone's own.
func (d *denials) delegation(name string) cut {
	if d.excess {
		return insecureCut
	}
	if n := d.matchNSEC(name); n != nil {
		return cutOf(n.TypeBitMap)
	}
	if d.coverNSEC(name) != nil {
		return noCut // The name is not there, or has nothing but names below it.
	}
	if n := d.match3(name); n != nil {
		return cutOf(n.TypeBitMap)
	}
	if p, ok := d.closest3(name); ok {
		if p.optOut {
			return insecureCut // RFC 5155, 8.6.
		}
		return noCut
	}
	return unproven
}

// cutOf reads the types at a name: RFC 4035, 5.2; RFC 6840, 4.4.
func cutOf(types []uint16) cut {
	switch has := has(types); {
	case has(dns.TypeDS), has(dns.TypeSOA):
		return unproven // It is there, or the record is the child's.
	case has(dns.TypeNS):
		return insecureCut
	}
	return noCut
}

func has(types []uint16) func(uint16) bool {
	return func(t uint16) bool { return slices.Contains(types, t) }
}

// lacks reports whether a record with these types proves that its name has none
// of qtype, nor an alias: RFC 4035, 5.4; RFC 6840, 4.1, 4.3.
func lacks(types []uint16, name string, qtype uint16) bool {
	has := has(types)
	switch {
	case has(qtype), has(dns.TypeCNAME):
		return false
	case qtype == dns.TypeDS:
		return !has(dns.TypeSOA) || name == "." // Only the parent can say.
	}
	return !has(dns.TypeNS) || has(dns.TypeSOA) // Only the child can say.
}

// above reports whether a record with these types at owner says nothing of
// names below it: it is the parent's side of a cut, or there is a DNAME.
// RFC 6840, 4.1.
func above(types []uint16) bool {
	has := has(types)
	return has(dns.TypeNS) && !has(dns.TypeSOA) || has(dns.TypeDNAME)
}

// nodata judges an answer without records of qtype at name.
func (d *denials) nodata(name string, qtype uint16) Result {
	if d.excess {
		return Result{Insecure, dns.ExtendedErrorCodeUnsupportedNSEC3IterValue}
	}
	if d.nodataNSEC(name, qtype) {
		return Result{Verdict: Secure}
	}
	if n := d.match3(name); n != nil {
		if lacks(n.TypeBitMap, name, qtype) {
			return Result{Verdict: Secure}
		}
		return bogus(dns.ExtendedErrorCodeDNSBogus)
	}
	if p, ok := d.closest3(name); ok {
		if w := d.match3(wildcard(p.encloser)); w != nil && lacks(w.TypeBitMap, name, qtype) && !p.optOut {
			return Result{Verdict: Secure} // RFC 5155, 8.7.
		}
		if p.optOut {
			return Result{Verdict: Insecure} // RFC 5155, 8.6, and what a forwarder shows of an unsigned child.
		}
	}
	return bogus(d.code)
}

// nxdomain judges an answer that says that there is no such name.
func (d *denials) nxdomain(name string) Result {
	if d.excess {
		return Result{Insecure, dns.ExtendedErrorCodeUnsupportedNSEC3IterValue}
	}
	if n := d.coverNSEC(name); n != nil && !below(n.NextDomain, name) {
		// RFC 4035, 5.4: neither the name nor a wildcard that would make it.
		if d.coverNSEC(wildcard(encloser(n, name))) != nil {
			return Result{Verdict: Secure}
		}
		return bogus(d.code)
	}
	if p, ok := d.closest3(name); ok && d.cover3(wildcard(p.encloser)) != nil {
		if p.optOut {
			return Result{Verdict: Insecure} // RFC 5155, 9.2.
		}
		return Result{Verdict: Secure}
	}
	return bogus(d.code)
}

// expanded judges the proof that name, made from the wildcard below encloser,
// is not there itself: RFC 4035, 5.3.4; RFC 5155, 8.8.
func (d *denials) expanded(name, closest string) Result {
	if d.excess {
		return Result{Insecure, dns.ExtendedErrorCodeUnsupportedNSEC3IterValue}
	}
	if n := d.coverNSEC(name); n != nil && !below(n.NextDomain, name) && encloser(n, name) == closest {
		return Result{Verdict: Secure}
	}
	if n := d.cover3(toward(closest, name)); n != nil {
		if n.Flags&optOut != 0 {
			return Result{Verdict: Insecure}
		}
		return Result{Verdict: Secure}
	}
	return bogus(d.code)
}
