package dns

import (
	"slices"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
)

// fill puts what was found into reply, as far as the client wants it. own says
// that reply has records of the own zones already, which are not signed.
func (q query) fill(reply *dns.Msg, f finding, own bool) {
	reply.Authoritative = false
	explain(reply, f.code)
	if f.failed || f.result.Verdict == dnssec.Bogus && !q.msg.CheckingDisabled {
		reply.Rcode = dns.RcodeServerFailure // RFC 4035, 5.5.
		reply.Answer = nil
		return
	}
	reply.Rcode = f.msg.Rcode
	answer, ns := f.msg.Answer, f.msg.Ns
	if !q.do() {
		answer, ns = q.unsigned(answer), q.unsigned(ns) // RFC 4035, 3.2.1.
	}
	reply.Answer = append(reply.Answer, answer...)
	reply.Ns = ns
	// RFC 6840, 5.7 and 5.8: to whom it means something.
	wanted := q.do() || q.msg.AuthenticatedData
	reply.AuthenticatedData = wanted && !own && f.result.Verdict == dnssec.Secure
}

// unsigned removes signatures and proofs, but not what was asked for.
func (q query) unsigned(list []dns.RR) []dns.RR {
	return slices.DeleteFunc(list, func(rr dns.RR) bool {
		t := rr.Header().Rrtype
		return t != q.msg.Question[0].Qtype && (t == dns.TypeRRSIG || t == dns.TypeNSEC || t == dns.TypeNSEC3)
	})
}

// explain tells a client with EDNS why, by a code of RFC 8914.
func explain(reply *dns.Msg, code int) {
	if opt := reply.IsEdns0(); opt != nil && code != noCode {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(code)})
	}
}
