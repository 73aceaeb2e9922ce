package dnssec

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// A zone is a zone as far as trust goes: secure with its keys, insecure from
// here down, or bogus.
type zone struct {
	name   string
	keys   []key
	result Result
}

// A walk is the work for one answer.
type walk struct {
	*Validator
	ask    Asker
	now    time.Time
	budget *budget
	proofs map[string]*denials // By zone: what the authority section proves.

	fetched map[setKey]*dns.Msg // What was asked for ahead.
}

// closest returns the zone where trust begins for a name, and false if it is
// one where it ends: the longest name decides, RFC 7646, 1.1.
func (v *Validator) closest(name string) (anchor string, trusted bool) {
	for zone := range v.anchors {
		if under(name, zone) && len(zone) > len(anchor) {
			anchor, trusted = zone, true
		}
	}
	for _, zone := range v.negative {
		if under(name, zone) && len(zone) >= len(anchor) {
			anchor, trusted = zone, false
		}
	}
	return anchor, trusted
}

// zoneOf returns the zone that a name is in, as far down as trust reaches. An
// error means that keys could not be had.
func (w *walk) zoneOf(ctx context.Context, name string) (*zone, error) {
	anchor, trusted := w.closest(name)
	if !trusted {
		return &zone{name: anchor, result: Result{Verdict: Insecure}}, nil
	}
	z, err := w.begin(ctx, anchor)
	for at := anchor; err == nil && z.result.Verdict == Secure && at != name; {
		at = toward(at, name)
		z, err = w.step(ctx, z, at)
	}
	return z, err
}

// begin returns the zone of a trust anchor.
func (w *walk) begin(ctx context.Context, name string) (*zone, error) {
	if z, ok := w.recall(name, w.now); ok && z != nil {
		return z, nil
	}
	z, ttl, err := w.enter(ctx, name, w.anchors[name])
	if err == nil {
		w.remember(name, z, ttl, w.now)
	}
	return z, err
}

// step returns the zone that the name at, right below a name in the secure zone
// z, is in: a zone that begins there, or z itself.
func (w *walk) step(ctx context.Context, z *zone, at string) (*zone, error) {
	child, ok := w.recall(at, w.now)
	if !ok {
		var ttl uint32
		var err error
		child, ttl, err = w.delegation(ctx, z, at)
		if err != nil {
			return nil, err
		}
		w.remember(at, child, ttl, w.now)
	}
	if child == nil {
		return z, nil
	}
	return child, nil
}

// delegation asks for the DS records of a name in z and returns the zone that
// begins there, or nil if none does, and for how long that is known.
func (w *walk) delegation(ctx context.Context, z *zone, at string) (*zone, uint32, error) {
	m, err := w.fetch(ctx, at, dns.TypeDS)
	if err != nil {
		return nil, 0, err
	}
	answer := sets(m.Answer)
	if ds := answer[setKey{at, dns.TypeDS}]; ds != nil {
		sig, code := verify(ds, z.name, z.keys, w.now, w.budget)
		if sig == nil {
			return &zone{name: at, result: bogus(code)}, 0, nil
		}
		ds.cut(sig, w.now)
		child, ttl, err := w.enter(ctx, at, ds.rrs)
		return child, min(ttl, ds.ttl()), err
	}
	if alias := answer[setKey{at, dns.TypeCNAME}]; alias != nil {
		// No zone begins at an alias. An alias that is left from long ago could
		// hide one: then its records are not signed by z, and bogus.
		if sig, code := verify(alias, z.name, z.keys, w.now, w.budget); sig == nil {
			return &zone{name: at, result: bogus(code)}, 0, nil
		}
		return nil, alias.ttl(), nil
	}
	return w.unsigned(z, at, sets(m.Ns))
}

// unsigned looks for the proof that a name has no DS records: then it begins an
// insecure zone, or none.
func (w *walk) unsigned(z *zone, at string, authority map[setKey]*set) (*zone, uint32, error) {
	d := w.denials(z, authority)
	switch d.delegation(at) {
	case insecureCut:
		return &zone{name: at, result: Result{Verdict: Insecure}}, d.ttl, nil
	case noCut:
		return nil, d.ttl, nil
	}
	return &zone{name: at, result: bogus(d.code)}, 0, nil
}

// enter asks for the keys of a zone and returns it. trust are DS records, or
// keys, that are believed.
func (w *walk) enter(ctx context.Context, name string, trust []dns.RR) (*zone, uint32, error) {
	fine, code := sound(trust)
	if len(fine) == 0 {
		return &zone{name: name, result: Result{Insecure, code}}, maxTTL, nil // RFC 4035, 5.2.
	}
	m, err := w.fetch(ctx, name, dns.TypeDNSKEY)
	if err != nil {
		return nil, 0, err
	}
	s := sets(m.Answer)[setKey{name, dns.TypeDNSKEY}]
	if s == nil {
		return &zone{name: name, result: bogus(dns.ExtendedErrorCodeDNSKEYMissing)}, 0, nil
	}
	all := usable(s)
	var entry []key
	for _, k := range all {
		if vouched(k, fine) {
			entry = append(entry, k)
		}
	}
	if len(entry) == 0 {
		return &zone{name: name, result: bogus(dns.ExtendedErrorCodeDNSKEYMissing)}, 0, nil
	}
	sig, code := verify(s, name, entry, w.now, w.budget)
	if sig == nil {
		return &zone{name: name, result: bogus(code)}, 0, nil
	}
	s.cut(sig, w.now)
	return &zone{name: name, keys: all, result: Result{Verdict: Secure}}, s.ttl(), nil
}

// maxTTL is that of what has none.
const maxTTL = uint32(maxRemain / time.Second)

// sound returns those of some trusted records that can be checked, and why not
// if none can.
func sound(trust []dns.RR) (fine []dns.RR, code uint16) {
	for _, rr := range trust {
		ds, ok := rr.(*dns.DS)
		switch {
		case len(fine) == maxDS:
		case !ok || digestible(ds) && supported(ds.Algorithm):
			fine = append(fine, rr)
		case !supported(ds.Algorithm):
			code = dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm
		default:
			code = dns.ExtendedErrorCodeUnsupportedDSDigestType
		}
	}
	return fine, code
}

// vouched reports whether a key is among trusted records.
func vouched(k key, trust []dns.RR) bool {
	for _, rr := range trust {
		switch rr := rr.(type) {
		case *dns.DS:
			if rr.KeyTag == k.tag && rr.Algorithm == k.Algorithm && digest(rr, k.DNSKEY) {
				return true
			}
		case *dns.DNSKEY:
			if rr.Algorithm == k.Algorithm && rr.PublicKey == k.PublicKey {
				return true
			}
		}
	}
	return false
}

// fetch asks for what the walk needs.
func (w *walk) fetch(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	if m := w.fetched[setKey{name, qtype}]; m != nil {
		return m, nil
	}
	if !take(&w.budget.questions) {
		return nil, errTooLong
	}
	m, err := w.ask.Ask(ctx, name, qtype)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", dns.TypeToString[qtype], err)
	}
	return m, nil
}
