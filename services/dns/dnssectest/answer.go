package dnssectest

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Answer answers a query as a resolver does that does not validate.
func (w *World) Answer(q *dns.Msg) *dns.Msg {
	m := w.Truth(q)
	question := q.Question[0]
	w.mu.Lock()
	spoil := w.spoil
	w.asked[dns.Question{Name: dns.CanonicalName(question.Name), Qtype: question.Qtype, Qclass: dns.ClassINET}]++
	w.mu.Unlock()
	if spoil != nil {
		for i, rr := range m.Answer { // What is kept stays whole.
			m.Answer[i] = dns.Copy(rr)
		}
		for i, rr := range m.Ns {
			m.Ns[i] = dns.Copy(rr)
		}
		spoil(question, m)
	}
	return m
}

// Truth answers a query as Answer does if nobody spoils it.
func (w *World) Truth(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	opt := q.IsEdns0()
	do := opt != nil && opt.Do()
	if opt != nil {
		m.SetEdns0(1232, do)
	}
	question := q.Question[0]
	name := dns.CanonicalName(question.Name)
	for range 16 {
		next := w.one(m, name, question.Qtype)
		if next == "" {
			break
		}
		name = next
	}
	if !do {
		unsigned := func(rr dns.RR) bool {
			t := rr.Header().Rrtype
			return t != question.Qtype && (t == dns.TypeRRSIG || t == dns.TypeNSEC || t == dns.TypeNSEC3)
		}
		m.Answer, m.Ns = slices.DeleteFunc(m.Answer, unsigned), slices.DeleteFunc(m.Ns, unsigned)
	}
	return m
}

// one adds to m what the zone of a name says of it, and returns the name that it
// is an alias of.
func (w *World) one(m *dns.Msg, name string, qtype uint16) (next string) {
	z := w.zone(name, qtype)
	if z == nil {
		m.Rcode = dns.RcodeRefused
		return ""
	}
	for at := name; at != z.name; {
		at = above(at)
		if d := z.nodes[at][dns.TypeDNAME]; len(d) > 0 {
			m.Answer = append(m.Answer, z.nodes[at].set(dns.TypeDNAME, at)...)
			target := strings.TrimSuffix(name, at) + d[0].(*dns.DNAME).Target
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 300}, Target: target})
			return target
		}
	}
	n, there := z.nodes[name]
	closest := name
	if !there {
		for closest = above(name); z.nodes[closest] == nil; closest = above(closest) {
		}
		n = z.nodes["*."+strings.TrimPrefix(closest, ".")]
	}
	switch {
	case len(n[qtype]) > 0:
		m.Answer = append(m.Answer, n.set(qtype, name)...)
	case len(n[dns.TypeCNAME]) > 0:
		m.Answer = append(m.Answer, n.set(dns.TypeCNAME, name)...)
		next = n[dns.TypeCNAME][0].(*dns.CNAME).Target
	default:
		if n == nil {
			m.Rcode = dns.RcodeNameError
		}
		m.Ns = append(m.Ns, z.nodes[z.name].set(dns.TypeSOA, z.name)...)
		m.Ns = append(m.Ns, z.deny(name, closest, false)...)
		return ""
	}
	if !there {
		m.Ns = append(m.Ns, z.deny(name, closest, true)...)
	}
	return next
}

// set returns a set and its signatures, under a name.
func (n node) set(rtype uint16, name string) (list []dns.RR) {
	for _, rr := range slices.Concat(n[rtype], n[dns.TypeRRSIG]) {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered != rtype {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Name = name
		list = append(list, rr)
	}
	return list
}

// deny returns the proof that name is not there, or has not what was asked for.
// closest is the longest name on the way that is there; expanded says that the
// answer was made from the wildcard below it.
func (z *zone) deny(name, closest string, expanded bool) (list []dns.RR) {
	if z.Unsigned {
		return nil
	}
	seen := map[string]bool{}
	add := func(name string) {
		owner := z.at(name)
		if !seen[owner] {
			seen[owner] = true
			list = append(list, z.denial[owner]...)
		}
	}
	star := "*." + strings.TrimPrefix(closest, ".")
	switch {
	case z.NSEC3 == nil:
		add(name)
		if name != closest && !expanded {
			add(star)
		}
	case name == closest && slices.Contains(z.chain, z.hash(name)):
		add(name)
	default:
		for !slices.Contains(z.chain, z.hash(closest)) || closest == name { // A name that was left out.
			closest = above(closest)
		}
		labels := dns.Split(name)
		if !expanded {
			add(closest)
		}
		add(name[labels[len(labels)-dns.CountLabel(closest)-1]:])
		if !expanded {
			add(star)
		}
	}
	return list
}

// at returns the name, or the hash, of the record that is of a name or covers it.
func (z *zone) at(name string) string {
	key, order := name, less
	if z.NSEC3 != nil {
		key, order = z.hash(name), strings.Compare
	}
	i, found := slices.BinarySearchFunc(z.chain, key, order)
	if !found {
		i = (i + len(z.chain) - 1) % len(z.chain)
	}
	return z.chain[i]
}
