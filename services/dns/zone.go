package dns

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A zone is one zone's data. It does not change.
type zone struct {
	name  string // Canonical: lower case, final dot.
	soa   *dns.SOA
	names map[string]node // By canonical name; empty non-terminals included.
}

// A node holds the record sets of one name.
type node map[uint16][]dns.RR

// zones are the zones of a server.
type zones []*zone

func newZones(cfgs []ConfigZone) (zones, error) {
	var zs zones
	for _, c := range cfgs {
		z, err := newZone(c)
		if err != nil {
			return nil, fmt.Errorf("zone %q: %w", c.Name, err)
		}
		if slices.ContainsFunc(zs, func(o *zone) bool { return o.name == z.name }) {
			return nil, fmt.Errorf("zone %q is there twice", c.Name)
		}
		zs = append(zs, z)
	}
	return zs, nil
}

func newZone(c ConfigZone) (*zone, error) {
	if !validName(c.Name) {
		return nil, errors.New("no domain name")
	}
	if len(c.NameServers) == 0 || c.SOA.Serial == 0 {
		return nil, errors.New("name_servers and soa.serial are required")
	}
	z := &zone{name: dns.CanonicalName(c.Name), names: map[string]node{}}
	ttl := or(c.TTL, 3600)
	soa, err := c.SOA.rr(z.name, c.NameServers[0], ttl)
	if err != nil {
		return nil, err
	}
	z.soa = soa
	z.add(z.soa)
	for _, ns := range c.NameServers {
		if !validName(ns) {
			return nil, fmt.Errorf("name server %q is no host name", ns)
		}
		z.add(&dns.NS{Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: ttl}, Ns: dns.CanonicalName(ns)})
	}
	for _, r := range c.Records {
		rr, err := r.rr(z.name, ttl)
		if err != nil {
			return nil, err
		}
		z.add(rr)
	}
	return z, z.check()
}

func (c ConfigSOA) rr(zone, primary string, ttl uint32) (*dns.SOA, error) {
	contact := c.Contact
	if contact == "" {
		contact = "hostmaster@" + strings.TrimSuffix(zone, ".")
	}
	local, domain, ok := strings.Cut(contact, "@")
	if !ok || local == "" || !validName(domain) || strings.ContainsFunc(local, func(r rune) bool { return r != '.' && notHost(r) }) {
		return nil, fmt.Errorf("contact %q is no mail address", contact)
	}
	return &dns.SOA{
		Hdr:     dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:      dns.CanonicalName(primary),
		Mbox:    strings.ReplaceAll(local, ".", `\.`) + "." + dns.CanonicalName(domain), // RFC 1035, 8.
		Serial:  c.Serial,
		Refresh: or(c.Refresh, 3600),
		Retry:   or(c.Retry, 600),
		Expire:  or(c.Expire, 1209600),
		Minttl:  or(c.Negative, 300),
	}, nil
}

func or(n, otherwise uint32) uint32 {
	if n == 0 {
		return otherwise
	}
	return n
}

// add adds a record, its name, and the names between it and the zone's own.
func (z *zone) add(rr dns.RR) {
	h := rr.Header()
	for name := h.Name; ; {
		if z.names[name] == nil {
			z.names[name] = node{}
		}
		if name == z.name {
			break
		}
		_, name, _ = strings.Cut(name, ".")
	}
	n := z.names[h.Name]
	for _, old := range n[h.Rrtype] {
		if dns.IsDuplicate(old, rr) {
			return // RFC 2181, 5: a set has no duplicates.
		}
		h.Ttl = old.Header().Ttl // RFC 2181, 5.2: one TTL for the set.
	}
	n[h.Rrtype] = append(n[h.Rrtype], rr)
}

// check holds what RFC 1034, 3.6.2 asks of aliases: alone at their name, and
// leading somewhere.
func (z *zone) check() error {
	for name, n := range z.names {
		aliases := n[dns.TypeCNAME]
		if len(aliases) > 1 || len(aliases) == 1 && len(n) > 1 {
			return fmt.Errorf("%s is an alias and something else", name)
		}
		for seen := 0; len(aliases) == 1; seen++ {
			if seen == maxChain {
				return fmt.Errorf("%s is an alias of an alias of … without end", name)
			}
			aliases = z.names[aliases[0].(*dns.CNAME).Target][dns.TypeCNAME]
		}
	}
	return nil
}
