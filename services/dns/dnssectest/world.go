// Package dnssectest is a small DNS of its own for tests: a tree of zones,
// signed with keys made on the spot or not signed, served by one server on
// loopback that answers like the cache of a resolver: all zones at once, aliases
// followed, with signatures and proofs of absence for who sets the DO bit.
//
// It shares nothing with the validator but the library that packs records: the
// chains of NSEC and NSEC3 are made here anew, and a test has a foreign
// validator judge them too.
package dnssectest

import (
	"crypto"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Options say how a zone is signed. The zero value: by ECDSA P-256, with NSEC.
type Options struct {
	Unsigned  bool
	NoDS      bool   // It is signed, and its parent does not say so.
	Algorithm uint8  // 0: 13.
	Bits      int    // Of its keys. 0: what the algorithm has, or 2048.
	Digest    uint8  // Of its DS record. 0: SHA-256.
	WrongDS   bool   // Its DS record is of a key that it has not.
	NSEC3     *NSEC3 // nil: NSEC.
	// When its signatures begin and end, from now. 0: an hour ago, in a day.
	Begin, End time.Duration
}

// NSEC3 are the parameters of a zone's NSEC3 records.
type NSEC3 struct {
	Iterations uint16
	Salt       string // Hexadecimal.
	OptOut     bool
}

// A World is a tree of zones. Zones are added first, then it is signed, then it
// is asked.
type World struct {
	zones map[string]*zone
	now   time.Time

	mu    sync.Mutex
	spoil func(q dns.Question, m *dns.Msg)
	asked map[dns.Question]int
}

// New returns a world without zones.
func New() *World {
	return &World{zones: map[string]*zone{}, now: time.Now(), asked: map[dns.Question]int{}}
}

type zone struct {
	Options
	name   string
	nodes  map[string]node // Names with records, and those between them and the zone's.
	cuts   map[string]bool // Names of the zones below.
	ksk    *dns.DNSKEY
	zsk    *dns.DNSKEY
	signer map[*dns.DNSKEY]crypto.Signer
	chain  []string            // Names with NSEC records, in order; or hashes.
	denial map[string][]dns.RR // By name or hash: the record with its signature.
}

// A node holds the records of a name, their signatures among them.
type node map[uint16][]dns.RR

// Zone adds a zone with records as in a zone file; SOA and NS records it has
// without them. Zones are added from the root down.
func (w *World) Zone(t testing.TB, name string, o Options, records string) {
	t.Helper()
	if o.Algorithm == 0 {
		o.Algorithm = dns.ECDSAP256SHA256
	}
	if o.Digest == 0 {
		o.Digest = dns.SHA256
	}
	if o.Begin == 0 && o.End == 0 {
		o.Begin, o.End = -time.Hour, 24*time.Hour
	}
	z := &zone{Options: o, name: name, nodes: map[string]node{}, cuts: map[string]bool{}, signer: map[*dns.DNSKEY]crypto.Signer{}, denial: map[string][]dns.RR{}}
	head := fmt.Sprintf("$ORIGIN %s\n$TTL 300\n@ SOA ns.invalid. host.invalid. 1 3600 600 86400 300\n@ NS ns.invalid.\n", name)
	p := dns.NewZoneParser(io.MultiReader(strings.NewReader(head), strings.NewReader(records)), name, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if !o.Unsigned {
		z.ksk, z.zsk = z.key(t, 257), z.key(t, 256)
	}
	if up := w.zone(name, dns.TypeDS); up != nil {
		up.cuts[name] = true
		up.add(z.rr(t, "NS ns.invalid."))
		if !o.Unsigned && !o.NoDS {
			ds := z.ksk.ToDS(o.Digest)
			if o.WrongDS {
				ds = z.key(t, 257).ToDS(o.Digest)
				ds.KeyTag = z.ksk.KeyTag()
			}
			up.add(ds)
		}
	}
	w.zones[name] = z
}

func (z *zone) rr(t testing.TB, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(z.name + " 300 IN " + text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// add adds a record, its name and those above it.
func (z *zone) add(rr dns.RR) {
	h := rr.Header()
	h.Name = dns.CanonicalName(h.Name)
	for at := h.Name; ; at = above(at) {
		if z.nodes[at] == nil {
			z.nodes[at] = node{}
		}
		if at == z.name {
			break
		}
	}
	z.nodes[h.Name][h.Rrtype] = append(z.nodes[h.Name][h.Rrtype], rr)
}

func above(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// zone returns the zone that answers for a name: DS records are the parent's.
func (w *World) zone(name string, qtype uint16) *zone {
	if qtype == dns.TypeDS && name != "." {
		name = above(name)
	}
	for ; ; name = above(name) {
		if z := w.zones[name]; z != nil || name == "." {
			return z
		}
	}
}

// Anchor returns the trust anchor of a zone as a DS record.
func (w *World) Anchor(name string) string { return w.zones[name].ksk.ToDS(dns.SHA256).String() }

// AnchorKey returns it as a DNSKEY record.
func (w *World) AnchorKey(name string) string { return w.zones[name].ksk.String() }

// Spoil has f change every answer before it is sent; nil ends that.
func (w *World) Spoil(f func(q dns.Question, m *dns.Msg)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoil = f
}

// Asked returns how often a question was asked.
func (w *World) Asked(name string, qtype uint16) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}]
}

// types returns the types that a name has, in order.
func (n node) types() (list []uint16) {
	for t := range n {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}
