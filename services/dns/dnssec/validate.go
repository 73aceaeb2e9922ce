package dnssec

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// errTooLong is that keys of too many zones would be needed.
var errTooLong = errors.New("the chain of keys is too long")

// Validate judges m, the answer of an upstream to q, asked with the DO bit; it
// asks for what it does not know yet. It leaves in m the records that answer q and
// those that prove it, each with one signature, with names in lower case. If the
// verdict is Bogus, m must not be used. An error means that keys could not be had:
// there is no verdict.
func (v *Validator) Validate(ctx context.Context, ask Asker, q dns.Question, m *dns.Msg) (Result, error) {
	w := &walk{v, ask, time.Now(), newBudget(), map[string]*denials{}, map[setKey]*dns.Msg{}}
	answer, authority := sets(m.Answer), sets(m.Ns)
	m.Answer, m.Ns, m.Extra = nil, nil, nil
	result, err := w.answer(ctx, q, answer, authority, m)
	for _, zone := range slices.Sorted(maps.Keys(w.proofs)) {
		m.Ns = append(m.Ns, w.proofs[zone].records()...)
	}
	return result, err
}

// answer follows the answer from the name asked for.
func (w *walk) answer(ctx context.Context, q dns.Question, answer, authority map[setKey]*set, m *dns.Msg) (Result, error) {
	result := Result{Verdict: Secure}
	name := dns.CanonicalName(q.Name)
	for range maxAliases {
		if s := answer[setKey{name, q.Qtype}]; s != nil {
			m.Rcode = dns.RcodeSuccess // It is not signed; the records are.
			r, err := w.positive(ctx, s, authority, m)
			return worse(result, r), err
		}
		alias := answer[setKey{name, dns.TypeCNAME}]
		if alias == nil {
			r, err := w.negative(ctx, name, q.Qtype, authority, m)
			return worse(result, r), err
		}
		var r Result
		var err error
		if d := dname(answer, alias); d != nil {
			r, err = w.positive(ctx, d, authority, m)
			alias.sigs = nil
			m.Answer = append(m.Answer, alias.records()...)
		} else {
			r, err = w.positive(ctx, alias, authority, m)
		}
		result = worse(result, r)
		if err != nil || result.Verdict == Bogus {
			return result, err
		}
		name = dns.CanonicalName(alias.rrs[0].(*dns.CNAME).Target)
	}
	return bogus(dns.ExtendedErrorCodeDNSBogus), nil
}

// dname returns the DNAME set that an unsigned alias follows from, or nil:
// RFC 6672, 5.3.1.
func dname(answer map[setKey]*set, alias *set) *set {
	if len(alias.sigs) > 0 || len(alias.rrs) != 1 {
		return nil
	}
	for at := alias.name; at != "."; {
		at = parent(at)
		s := answer[setKey{at, dns.TypeDNAME}]
		if s == nil || len(s.rrs) != 1 {
			continue
		}
		prefix := alias.name[:len(alias.name)-len(at)]
		if at == "." {
			prefix = alias.name
		}
		target := dns.CanonicalName(s.rrs[0].(*dns.DNAME).Target)
		if target == "." {
			target = ""
		}
		if dns.CanonicalName(alias.rrs[0].(*dns.CNAME).Target) == prefix+target {
			for _, rr := range alias.rrs {
				rr.Header().Ttl = min(rr.Header().Ttl, s.ttl())
			}
			return s
		}
	}
	return nil
}

// signer returns the longest name of a zone that claims to have signed a set
// and could have: it is in it. "" if there is none.
func signer(s *set) (zone string) {
	for _, sig := range s.sigs {
		if inside(s.name, s.rtype, sig.SignerName) && len(sig.SignerName) > len(zone) {
			zone = sig.SignerName
		}
	}
	return zone
}

// inside reports whether records of a type at name may be in zone: DS records
// are their parent's, RFC 4035, 2.4.
func inside(name string, rtype uint16, zone string) bool {
	if rtype == dns.TypeDS && name != "." {
		return below(name, zone)
	}
	return under(name, zone)
}

// judge returns the zone named by, the signer, if it is secure. Else it returns
// the verdict on unsigned records of a type at name: insecure if their zone is,
// and otherwise bogus.
func (w *walk) judge(ctx context.Context, by, name string, rtype uint16, code uint16) (*zone, Result, error) {
	if by != "" {
		w.ahead(ctx, by)
		z, err := w.zoneOf(ctx, by)
		if err != nil {
			return nil, Result{}, err
		}
		if z.result.Verdict == Secure && z.name == by {
			return z, z.result, nil
		}
		code = dns.ExtendedErrorCodeDNSBogus
	}
	if rtype == dns.TypeDS && name != "." {
		name = parent(name)
	}
	z, err := w.zoneOf(ctx, name)
	switch {
	case err != nil:
		return nil, Result{}, err
	case z.result.Verdict == Secure:
		return nil, bogus(code), nil // It is signed, and the records are not.
	}
	return nil, z.result, nil
}

// positive judges a set of the answer and adds it to m.
func (w *walk) positive(ctx context.Context, s *set, authority map[setKey]*set, m *dns.Msg) (Result, error) {
	z, r, err := w.judge(ctx, signer(s), s.name, s.rtype, dns.ExtendedErrorCodeRRSIGsMissing)
	if z == nil {
		m.Answer = append(m.Answer, s.records()...)
		return r, err
	}
	sig, code := verify(s, z.name, z.keys, w.now, w.budget)
	if sig == nil {
		return bogus(code), nil
	}
	s.cut(sig, w.now)
	m.Answer = append(m.Answer, s.records()...)
	if int(sig.Labels) == signedLabels(s.name) {
		return Result{Verdict: Secure}, nil
	}
	return w.proof(z, authority).expanded(s.name, ancestor(s.name, int(sig.Labels))), nil
}

// negative judges that there are no records of a type at name, or no such name,
// as the code of m says, and adds the proof to m.
func (w *walk) negative(ctx context.Context, name string, qtype uint16, authority map[setKey]*set, m *dns.Msg) (Result, error) {
	by := ""
	var soa *set
	for _, s := range authority {
		switch s.rtype {
		case dns.TypeNSEC, dns.TypeNSEC3:
			if z := signer(s); inside(name, qtype, z) && len(z) > len(by) {
				by = z
			}
		case dns.TypeSOA:
			if under(name, s.name) && (soa == nil || len(s.name) > len(soa.name)) {
				soa = s
			}
		}
	}
	z, r, err := w.judge(ctx, by, name, qtype, dns.ExtendedErrorCodeNSECMissing)
	if z == nil {
		if soa != nil {
			m.Ns = append(m.Ns, soa.records()...)
		}
		return r, err
	}
	if soa != nil {
		sig, code := verify(soa, z.name, z.keys, w.now, w.budget)
		if sig == nil {
			return bogus(code), nil
		}
		soa.cut(sig, w.now)
		m.Ns = append(m.Ns, soa.records()...)
	}
	d := w.proof(z, authority)
	if m.Rcode == dns.RcodeNameError {
		return d.nxdomain(name), nil
	}
	return d.nodata(name, qtype), nil
}

// records returns the proof, in a stable order.
func (d *denials) records() (list []dns.RR) {
	slices.SortFunc(d.sets, func(a, b *set) int { return compare(a.name, b.name) })
	for _, s := range d.sets {
		list = append(list, s.records()...)
	}
	return list
}
