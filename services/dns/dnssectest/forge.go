package dnssectest

import (
	"crypto"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// forge returns the attacker of the tree: what it does to an answer follows from
// the first label of the name asked for.
func (w *World) forge(t testing.TB) func(dns.Question, *dns.Msg) {
	t.Helper()
	foreign := &zone{Options: Options{Algorithm: dns.ECDSAP256SHA256}, name: "foreignkey.test.", signer: map[*dns.DNSKEY]crypto.Signer{}}
	key := foreign.key(t, 257)
	w.zones["foreignkey.test."].signer[key] = foreign.signer[key]
	foreignKeys := []dns.RR{key}
	foreignKeys = append(foreignKeys, w.signBy(t, "foreignkey.test.", key, foreignKeys))
	return func(q dns.Question, m *dns.Msg) {
		label, rest, _ := strings.Cut(dns.CanonicalName(q.Name), ".")
		if forged := strings.HasSuffix(rest, "plain.test.") || strings.HasSuffix(rest, "hashed.test.") || strings.HasSuffix(rest, "rsa512.test."); forged && q.Qtype == dns.TypeA {
			w.forgeAnswer(label, rest, m)
			w.forgeCut(dns.CanonicalName(q.Name), m)
		}
		switch {
		case (label == "nods" || label == "hashednods") && q.Qtype == dns.TypeDS: // No DS records, and no proof.
			m.Answer = nil
			m.Ns = w.zone(q.Name, dns.TypeDS).soa()
		case label == "replayds" && q.Qtype == dns.TypeDS: // The proof of another zone.
			m.Answer = nil
			m.Ns = slices.Concat(w.zones["test."].soa(), w.zones["test."].denial["unsigned.test."])
		case (label == "ownds" || label == "hashedownds") && q.Qtype == dns.TypeDS: // Its own proof, which says that there are some.
			z := w.zone(q.Name, dns.TypeDS)
			m.Answer = nil
			m.Ns = slices.Concat(z.soa(), z.deny(q.Name, q.Name, false))
		case label == "nokey" && q.Qtype == dns.TypeDNSKEY:
			m.Answer = nil
		case label == "unsignedkey" && q.Qtype == dns.TypeDNSKEY:
			m.Answer = only(m.Answer, dns.TypeDNSKEY)
		case label == "foreignkey" && q.Qtype == dns.TypeDNSKEY:
			m.Answer = foreignKeys
		}
	}
}

func (z *zone) soa() []dns.RR { return z.nodes[z.name].set(dns.TypeSOA, z.name) }

// only returns the records of one type.
func only(list []dns.RR, rtype uint16) []dns.RR {
	return slices.DeleteFunc(list, func(rr dns.RR) bool { return rr.Header().Rrtype != rtype })
}

// forgeAnswer changes an answer for A records of label in a zone.
func (w *World) forgeAnswer(label, in string, m *dns.Msg) {
	z := w.zone(in, 0)
	switch label {
	case "strip":
		m.Answer = only(m.Answer, dns.TypeA)
	case "change":
		m.Answer[0].(*dns.A).A = net.IPv4(203, 0, 113, 66)
	case "gone": // It is there.
		m.Answer, m.Rcode, m.Ns = nil, dns.RcodeNameError, z.soa()
	case "empty":
		m.Answer, m.Ns = nil, z.soa()
	case "short": // The proof of another name.
		m.Answer, m.Rcode = nil, dns.RcodeNameError
		m.Ns = slices.Concat(z.soa(), z.deny("nowhere."+z.name, z.name, false))
	case "other": // Its own record, which says that it is there.
		m.Answer = nil
		m.Ns = slices.Concat(z.soa(), z.deny(label+"."+z.name, label+"."+z.name, false))
	case "claim": // Another name's record and signature.
		m.Answer = z.nodes["www."+z.name].set(dns.TypeA, label+"."+in)
	case "x": // It is there beside the wildcard, whose signatures would fit.
		switch in {
		case "wild." + z.name:
			m.Answer = z.nodes["*."+in].set(dns.TypeA, "x."+in)
			m.Ns = z.deny("nowhere."+in, in, true)
		case "only." + z.name: // The wildcard's proof that it has no address, under this name.
			m.Answer = nil
			m.Ns = slices.Concat(z.soa(), z.deny("*."+in, "*."+in, false))
			for _, rr := range m.Ns[len(z.soa()):] {
				rr = dns.Copy(rr)
				if z.NSEC3 == nil {
					rr.Header().Name = "x." + in
				}
				m.Ns = append(m.Ns, rr)
			}
		}
	case "deep": // The wildcard is not for names below one that is there.
		wild := strings.TrimPrefix(in, "x.")
		m.Answer = z.nodes["*."+wild].set(dns.TypeA, label+"."+in)
		m.Ns, m.Rcode = z.deny(label+"."+in, in, true), dns.RcodeSuccess
	case "denied": // The name is not there, and the wildcard is.
		m.Answer, m.Rcode = nil, dns.RcodeNameError
		m.Ns = slices.Concat(z.soa(), z.deny(label+"."+in, in, false))
	case "noproof":
		m.Ns = nil
	case "hidden": // It is not there, and the proof is left out.
		m.Ns = z.soa()
	case "halfproof": // The name is not there, but a wildcard might be.
		m.Ns = slices.Concat(z.soa(), z.deny(label+"."+z.name, z.name, true))
	case "turned": // It is not there: this says that it only has no address.
		m.Rcode = dns.RcodeSuccess
	}
}

// forgeCut uses what a zone says of the zone below it, for names that are there.
func (w *World) forgeCut(name string, m *dns.Msg) {
	label, in, _ := strings.Cut(name, ".")
	switch {
	case label == "sub": // It has nothing there but the cut.
		z := w.zone(in, 0)
		m.Answer, m.Ns = nil, slices.Concat(z.soa(), z.deny(name, name, false))
	case label == "under" && strings.HasPrefix(in, "sub."): // It has no names below.
		z := w.zone(above(in), 0)
		m.Answer, m.Rcode = nil, dns.RcodeNameError
		m.Ns = slices.Concat(z.soa(), z.deny(name, in, false))
	}
}
