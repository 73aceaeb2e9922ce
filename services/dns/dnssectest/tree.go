package dnssectest

import (
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var shared struct {
	sync.Once
	*World
}

// Shared returns one tree for all tests of a process that leave it as it is:
// keys take their time.
func Shared(t testing.TB) *World {
	t.Helper()
	shared.Do(func() { shared.World = Tree(t) })
	return shared.World
}

// Tree returns a signed world in which the Cases are.
func Tree(t testing.TB) *World {
	t.Helper()
	w := New()
	zone := func(name string, o Options, records string) { w.Zone(t, name, o, records) }
	past := Options{Begin: -48 * time.Hour, End: -time.Hour}
	zone(".", Options{}, "")
	zone("test.", Options{Algorithm: dns.RSASHA256, Bits: 1024}, "")
	zone("optout.", Options{Algorithm: dns.ECDSAP384SHA384, NSEC3: &NSEC3{OptOut: true, Salt: "ab12"}}, "www A 192.0.2.1\n*.wild A 192.0.2.2")
	zone("unsigned.optout.", Options{Unsigned: true}, "www A 192.0.2.1")
	zone("signed.optout.", Options{}, "www A 192.0.2.1")
	common := `
@      A     192.0.2.1
www    A     192.0.2.1
www    AAAA  2001:db8::1
WwW2   MX    10 Mail.Example.
text   TXT   "a" "b c"
a.b.c  A     192.0.2.1
*.wild A     192.0.2.2
x.wild A     192.0.2.3
*.star CNAME www
alias  CNAME www
alias2 CNAME alias
far    CNAME www.hashed.test.
near   CNAME www.plain.test.
out    CNAME www.unsigned.test.
lost   CNAME nowhere
bad    CNAME www.expired.test.
tree   DNAME hashed.test.
strip  A     192.0.2.1
change A     192.0.2.1
gone   A     192.0.2.1
empty  A     192.0.2.1
short  A     192.0.2.1
other  A     192.0.2.1
claim  A     192.0.2.1
*.only TXT   "t"
x.only A     192.0.2.1
`
	zone("plain.test.", Options{}, common)
	zone("hashed.test.", Options{Algorithm: dns.ED25519, NSEC3: &NSEC3{Iterations: 5, Salt: "c0ffee"}}, common)
	zone("rsa512.test.", Options{Algorithm: dns.RSASHA512, Bits: 1024}, common)
	for _, below := range []string{"plain.test.", "hashed.test."} {
		zone("sub."+below, Options{}, "@ A 192.0.2.1\nwww A 192.0.2.1\nunder A 192.0.2.1")
		zone("open."+below, Options{Unsigned: true}, "www A 192.0.2.1")
	}
	zone("unsigned.test.", Options{Unsigned: true}, common)
	zone("below.unsigned.test.", Options{}, common) // An island: nobody vouches for it.
	zone("island.test.", Options{NoDS: true}, common)
	zone("expired.test.", past, common)
	zone("future.test.", Options{Begin: time.Hour, End: 48 * time.Hour}, common)
	zone("wrong.test.", Options{WrongDS: true}, common)
	zone("many.test.", Options{NSEC3: &NSEC3{Iterations: 200}}, common)
	zone("sha1.test.", Options{Algorithm: dns.RSASHA1, Bits: 1024}, common)
	zone("sha1ds.test.", Options{Digest: dns.SHA1}, common)
	for _, name := range []string{"nods.test.", "replayds.test.", "nokey.test.", "foreignkey.test.", "unsignedkey.test.", "hashednods.hashed.test.", "ownds.test.", "hashedownds.hashed.test."} {
		zone(name, Options{}, common)
	}
	w.Sign(t)
	w.Spoil(w.forge(t))
	return w
}

// A Case is a question about the tree and what is right to say.
type Case struct {
	Name  string // Of the question, canonical.
	Type  uint16
	Want  string // secure, insecure or bogus.
	Rcode int    // Unless it is bogus.
	Code  uint16 // Why it is bogus, RFC 8914.
	// Ours says that a verdict is a decision of ours, which others may judge
	// another way.
	Ours bool
}

// Cases returns the cases of the tree.
func Cases() []Case {
	var list []Case
	add := func(want string, rcode int, code uint16, name string, qtypes ...uint16) {
		for _, qtype := range qtypes {
			list = append(list, Case{Name: name, Type: qtype, Want: want, Rcode: rcode, Code: code})
		}
	}
	secure := func(name string, qtypes ...uint16) { add("secure", dns.RcodeSuccess, 0, name, qtypes...) }
	secureNX := func(name string, qtypes ...uint16) { add("secure", dns.RcodeNameError, 0, name, qtypes...) }
	insecure := func(name string, qtypes ...uint16) { add("insecure", dns.RcodeSuccess, 0, name, qtypes...) }
	insecureNX := func(name string, qtypes ...uint16) { add("insecure", dns.RcodeNameError, 0, name, qtypes...) }
	bogus := func(code uint16, name string, qtypes ...uint16) { add("bogus", 0, code, name, qtypes...) }

	secure(".", dns.TypeSOA, dns.TypeDNSKEY, dns.TypeNS, dns.TypeA, dns.TypeDS)
	secure("test.", dns.TypeDS, dns.TypeDNSKEY, dns.TypeMX)
	secureNX("nowhere.", dns.TypeA)
	for _, zone := range []string{"plain.test.", "hashed.test.", "rsa512.test."} {
		secure(zone, dns.TypeA, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeTXT)
		secure("www."+zone, dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeDS)
		secure("www2."+zone, dns.TypeMX)
		secure("text."+zone, dns.TypeTXT)
		secure("b.c."+zone, dns.TypeA) // Nothing at it, names below it.
		secure("c."+zone, dns.TypeDS)
		secure("any.wild."+zone, dns.TypeA, dns.TypeTXT)
		secure("a.b.wild."+zone, dns.TypeA)
		secure("*.wild."+zone, dns.TypeA)
		secure("any.star."+zone, dns.TypeA, dns.TypeMX)
		secure("alias2."+zone, dns.TypeA, dns.TypeMX, dns.TypeCNAME)
		secure("far."+zone, dns.TypeAAAA, dns.TypeMX)
		secure("near."+zone, dns.TypeAAAA)
		secure("www.tree."+zone, dns.TypeA, dns.TypeMX)
		secureNX("lost."+zone, dns.TypeA)
		secureNX("nowhere."+zone, dns.TypeA, dns.TypeDS)
		secureNX("x.y.z."+zone, dns.TypeA)
		secureNX("x.www."+zone, dns.TypeA)
		secureNX("x.tree."+zone, dns.TypeA)
		insecure("out."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeSignatureExpired, "bad."+zone, dns.TypeA)

		bogus(dns.ExtendedErrorCodeRRSIGsMissing, "strip."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeDNSBogus, "change."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeNSECMissing, "gone."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeNSECMissing, "empty."+zone, dns.TypeA)
		bogus(0, "short."+zone, dns.TypeA)
		bogus(0, "other."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeDNSBogus, "claim."+zone, dns.TypeA)
		bogus(0, "x.wild."+zone, dns.TypeA)
		bogus(0, "noproof.wild."+zone, dns.TypeA)
		bogus(dns.ExtendedErrorCodeNSECMissing, "hidden."+zone, dns.TypeA)
		bogus(0, "halfproof."+zone, dns.TypeA)
		bogus(0, "turned."+zone, dns.TypeA)
		bogus(0, "denied.wild."+zone, dns.TypeA)
		bogus(0, "deep.x.wild."+zone, dns.TypeA)
		bogus(0, "x.only."+zone, dns.TypeA)
	}
	for _, zone := range []string{"plain.test.", "hashed.test."} {
		secure("www.sub."+zone, dns.TypeA)
		bogus(0, "sub."+zone, dns.TypeA)
		bogus(0, "under.sub."+zone, dns.TypeA)
		secureNX("nowhere.sub."+zone, dns.TypeA)
		secure("sub."+zone, dns.TypeDS)
		secure("open."+zone, dns.TypeDS)
		insecure("www.open."+zone, dns.TypeA, dns.TypeMX)
		insecureNX("nowhere.open."+zone, dns.TypeA)
	}
	secure("www.optout.", dns.TypeA)
	secure("www.signed.optout.", dns.TypeA)
	secureNX("nowhere.signed.optout.", dns.TypeA)
	insecure("www.unsigned.optout.", dns.TypeA)
	insecure("unsigned.optout.", dns.TypeDS, dns.TypeA)
	insecureNX("nowhere.optout.", dns.TypeA)
	insecure("any.wild.optout.", dns.TypeA)
	for _, zone := range []string{"unsigned.test.", "below.unsigned.test.", "island.test.", "sha1.test."} {
		insecure("www."+zone, dns.TypeA, dns.TypeMX)
		insecureNX("nowhere."+zone, dns.TypeA)
		insecure("alias."+zone, dns.TypeA)
		insecure("far."+zone, dns.TypeA)
	}
	for i := range list[len(list)-5:] {
		list[len(list)-5+i].Ours = true // RFC 9905: what SHA-1 signs is not signed.
	}
	insecure("www.sha1ds.test.", dns.TypeA)
	list[len(list)-1].Ours = true
	secure("www.many.test.", dns.TypeA)
	insecureNX("nowhere.many.test.", dns.TypeA)
	insecure("www.many.test.", dns.TypeMX)
	insecure("any.wild.many.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeSignatureExpired, "www.expired.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeSignatureNotYetValid, "www.future.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeDNSKEYMissing, "www.wrong.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeNSECMissing, "www.nods.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeNSECMissing, "www.hashednods.hashed.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeNSECMissing, "www.replayds.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeNSECMissing, "www.ownds.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeNSECMissing, "www.hashedownds.hashed.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeDNSKEYMissing, "www.nokey.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeDNSKEYMissing, "www.foreignkey.test.", dns.TypeA)
	bogus(dns.ExtendedErrorCodeRRSIGsMissing, "www.unsignedkey.test.", dns.TypeA)
	return list
}
