package dnssectest

import (
	"bytes"
	"cmp"
	"crypto"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func (z *zone) key(t testing.TB, flags uint16) *dns.DNSKEY {
	t.Helper()
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: z.name, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: flags, Protocol: 3, Algorithm: z.Algorithm,
	}
	bits := map[uint8]int{dns.ECDSAP256SHA256: 256, dns.ECDSAP384SHA384: 384, dns.ED25519: 256}[z.Algorithm]
	private, err := k.Generate(cmp.Or(z.Bits, bits, 2048))
	if err != nil {
		t.Fatal(err)
	}
	z.signer[k] = private.(crypto.Signer)
	return k
}

// Sign signs all zones.
func (w *World) Sign(t testing.TB) {
	t.Helper()
	for _, z := range w.zones {
		if z.Unsigned {
			continue
		}
		z.add(z.ksk)
		z.add(z.zsk)
		if z.NSEC3 != nil {
			z.add(&dns.NSEC3PARAM{
				Hdr:  dns.RR_Header{Name: z.name, Rrtype: dns.TypeNSEC3PARAM, Class: dns.ClassINET, Ttl: 0},
				Hash: dns.SHA1, Iterations: z.NSEC3.Iterations, SaltLength: uint8(len(z.NSEC3.Salt) / 2), Salt: z.NSEC3.Salt,
			})
		}
		for name, n := range z.nodes {
			for _, rtype := range n.types() {
				if name == z.name || !z.cuts[name] || rtype == dns.TypeDS {
					n[dns.TypeRRSIG] = append(n[dns.TypeRRSIG], w.sign(t, z, n[rtype]))
				}
			}
		}
		if z.NSEC3 == nil {
			w.chain(t, z)
		} else {
			w.chain3(t, z)
		}
	}
}

func (w *World) sign(t testing.TB, z *zone, rrs []dns.RR) dns.RR {
	t.Helper()
	k := z.zsk
	if rrs[0].Header().Rrtype == dns.TypeDNSKEY {
		k = z.ksk
	}
	return w.signBy(t, z.name, k, rrs)
}

// signBy returns a signature of records in the name of a zone.
func (w *World) signBy(t testing.TB, name string, by *dns.DNSKEY, rrs []dns.RR) dns.RR {
	t.Helper()
	z := w.zones[name]
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: rrs[0].Header().Ttl},
		Inception: uint32(w.now.Add(z.Begin).Unix()), Expiration: uint32(w.now.Add(z.End).Unix()),
		KeyTag: by.KeyTag(), SignerName: name, Algorithm: by.Algorithm,
	}
	if err := sig.Sign(z.signer[by], rrs); err != nil {
		t.Fatal(err)
	}
	return sig
}

// less is the canonical order of names.
func less(a, b string) int {
	la, lb := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(la)
	slices.Reverse(lb)
	return slices.CompareFunc(la, lb, func(x, y string) int { return bytes.Compare([]byte(x), []byte(y)) })
}

// chain makes the NSEC records.
func (w *World) chain(t testing.TB, z *zone) {
	t.Helper()
	for name, n := range z.nodes {
		if len(n) > 0 {
			z.chain = append(z.chain, name)
		}
	}
	slices.SortFunc(z.chain, less)
	for i, name := range z.chain {
		types := append(z.nodes[name].types(), dns.TypeNSEC)
		if !slices.Contains(types, dns.TypeRRSIG) {
			types = append(types, dns.TypeRRSIG)
		}
		slices.Sort(types)
		n := &dns.NSEC{
			Hdr:        dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
			NextDomain: z.chain[(i+1)%len(z.chain)], TypeBitMap: types,
		}
		z.denial[name] = []dns.RR{n, w.sign(t, z, []dns.RR{n})}
	}
}

func (z *zone) hash(name string) string {
	return dns.HashName(name, dns.SHA1, z.NSEC3.Iterations, z.NSEC3.Salt)
}

// chain3 makes the NSEC3 records.
func (w *World) chain3(t testing.TB, z *zone) {
	t.Helper()
	names := map[string]string{}
	for name, n := range z.nodes {
		if z.NSEC3.OptOut && z.cuts[name] && len(n[dns.TypeDS]) == 0 {
			continue
		}
		h := z.hash(name)
		names[h] = name
		z.chain = append(z.chain, h)
	}
	slices.Sort(z.chain)
	for i, h := range z.chain {
		n := &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: strings.ToLower(h) + "." + strings.TrimPrefix(z.name, "."), Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 300},
			Hash: dns.SHA1, Iterations: z.NSEC3.Iterations, SaltLength: uint8(len(z.NSEC3.Salt) / 2), Salt: z.NSEC3.Salt,
			HashLength: 20, NextDomain: z.chain[(i+1)%len(z.chain)], TypeBitMap: z.nodes[names[h]].types(),
		}
		if z.NSEC3.OptOut {
			n.Flags = 1
		}
		z.denial[h] = []dns.RR{n, w.sign(t, z, []dns.RR{n})}
	}
}
