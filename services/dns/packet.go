package dns

import (
	"github.com/miekg/dns"
)

// maxUDP is the largest answer sent by UDP, and the buffer size announced.
const maxUDP = 1232

// A query is a question that was understood: one question, opcode QUERY, class
// IN, no zone transfer.
type query struct {
	msg *dns.Msg
	opt *dns.OPT // Its EDNS record, or nil.
}

// do reports whether the client wants DNSSEC records, RFC 3225.
func (q query) do() bool { return q.opt != nil && q.opt.Do() }

// parse reads a packet. It returns a query, or the reply that ends the matter
// at once; neither means that nothing is to be sent.
func parse(packet []byte) (q query, refusal *dns.Msg) {
	m := new(dns.Msg)
	err := m.Unpack(packet)
	if len(packet) < 12 || m.Response {
		return query{}, nil // RFC 5358: never answer an answer.
	}
	reply := new(dns.Msg)
	reply.Id, reply.Opcode, reply.RecursionDesired = m.Id, m.Opcode, m.RecursionDesired
	reply.Response = true
	if err != nil {
		reply.Rcode = dns.RcodeFormatError
		return query{}, reply
	}
	if m.Opcode != dns.OpcodeQuery {
		reply.Rcode = dns.RcodeNotImplemented
		return query{}, reply
	}
	var opt *dns.OPT
	for _, rr := range m.Extra {
		if o, ok := rr.(*dns.OPT); ok {
			if opt != nil || o.Hdr.Name != "." { // RFC 6891, 6.1.1.
				reply.Rcode = dns.RcodeFormatError
				return query{}, reply
			}
			opt = o
		}
	}
	if len(m.Question) != 1 || len(m.Answer)+len(m.Ns) > 0 {
		reply.Rcode = dns.RcodeFormatError
		return query{}, reply
	}
	q = query{m, opt}
	reply = q.reply()
	switch question := m.Question[0]; {
	case opt != nil && opt.Version() != 0:
		reply.Rcode = dns.RcodeBadVers // RFC 6891, 6.1.3. The library moves the upper bits into the OPT record.
		return query{}, reply
	case question.Qclass != dns.ClassINET, question.Qtype == dns.TypeAXFR, question.Qtype == dns.TypeIXFR:
		reply.Rcode = dns.RcodeRefused
		return query{}, reply
	}
	return q, nil
}

// reply returns an empty answer to q: same id and question, and EDNS if q has it.
func (q query) reply() *dns.Msg {
	r := new(dns.Msg).SetReply(q.msg)
	if q.opt != nil {
		r.SetEdns0(maxUDP, q.opt.Do())
	}
	return r
}

// size returns how large an answer to q by UDP may be.
func (q query) size() int {
	if q.opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(q.opt.UDPSize()), dns.MinMsgSize), maxUDP)
}

// pack returns the octets of an answer of at most limit octets, truncated if
// it is longer; nil if the answer cannot be packed.
func pack(m *dns.Msg, limit int) []byte {
	m.Compress = true
	m.Truncate(limit)
	packet, err := m.Pack()
	if err != nil || len(packet) > limit {
		return nil
	}
	return packet
}

// truncated returns the smallest answer to q: come back by TCP.
func (q query) truncated() *dns.Msg {
	r := q.reply()
	r.Truncated = true
	return r
}
