package dns

import (
	"github.com/miekg/dns"
)

// maxChain bounds how many aliases are followed for one question.
const maxChain = 8

// of returns the zone that holds a canonical name: the closest one, or nil.
func (zs zones) of(name string) *zone {
	var best *zone
	for _, z := range zs {
		if dns.IsSubDomain(z.name, name) && (best == nil || len(z.name) > len(best.name)) {
			best = z
		}
	}
	return best
}

// answer fills reply, a reply to a query with one question of class IN, from
// the zones: RFC 1034, 4.3.2. It reports whether the question is about one of
// them; if not, reply is left alone.
func (zs zones) answer(reply *dns.Msg) bool {
	q := reply.Question[0]
	name := dns.CanonicalName(q.Name)
	z := zs.of(name)
	if z == nil {
		return false
	}
	reply.Authoritative = true
	for range maxChain {
		n, exists := z.names[name]
		switch {
		case !exists:
			// RFC 6604, 3: after an alias the code is that of its target.
			reply.Rcode = dns.RcodeNameError
			reply.Ns = append(reply.Ns, z.negative())
			return true
		case q.Qtype == dns.TypeANY:
			reply.Answer = append(reply.Answer, minimalAny(q.Name))
			return true
		case len(n[q.Qtype]) > 0:
			reply.Answer = append(reply.Answer, n[q.Qtype]...)
			return true
		case len(n[dns.TypeCNAME]) == 0:
			reply.Ns = append(reply.Ns, z.negative())
			return true
		}
		reply.Answer = append(reply.Answer, n[dns.TypeCNAME][0])
		name = n[dns.TypeCNAME][0].(*dns.CNAME).Target
		if z = zs.of(name); z == nil {
			return true // The rest of the chain is somebody else's.
		}
	}
	return true
}

// negative returns the SOA for a negative answer, whose TTL is how long the
// answer may be remembered: RFC 2308, 3.
func (z *zone) negative() dns.RR {
	soa := *z.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &soa
}

// minimalAny is the whole answer to ANY, RFC 8482, 4.2.
func minimalAny(name string) dns.RR {
	return &dns.HINFO{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 8482},
		Cpu: "RFC8482",
	}
}

// authoritative is the public role's answer to a query.
func (zs zones) authoritative(reply *dns.Msg) {
	if !zs.answer(reply) {
		reply.Rcode = dns.RcodeRefused
	}
}
