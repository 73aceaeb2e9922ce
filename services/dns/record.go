package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// rr returns the record in the library's form. zone ends in a dot.
func (r ConfigRecord) rr(zone string, ttl uint32) (dns.RR, error) {
	owner := zone
	if r.Name != "" {
		owner = strings.ToLower(r.Name) + "." + zone
	}
	if !validName(owner) {
		return nil, fmt.Errorf("%q is no domain name", r.Name)
	}
	if r.TTL != 0 {
		ttl = r.TTL
	}
	rrtype, known := dns.StringToType[r.Type]
	if !known {
		return nil, fmt.Errorf("record %s: unknown type %q", owner, r.Type)
	}
	rr, err := r.data(dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl})
	if err != nil {
		return nil, fmt.Errorf("record %s %s: %w", owner, r.Type, err)
	}
	return rr, nil
}

func (r ConfigRecord) data(h dns.RR_Header) (dns.RR, error) {
	switch h.Rrtype {
	case dns.TypeA, dns.TypeAAAA:
		a, err := netip.ParseAddr(r.Value)
		if err != nil {
			return nil, err
		}
		if a.Is4() != (h.Rrtype == dns.TypeA) || a.Zone() != "" {
			return nil, fmt.Errorf("%s is of the other address family", a)
		}
		if h.Rrtype == dns.TypeA {
			return &dns.A{Hdr: h, A: a.AsSlice()}, nil
		}
		return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}, nil
	case dns.TypeTXT:
		return &dns.TXT{Hdr: h, Txt: texts(r.Value)}, nil
	case dns.TypeCAA:
		if !slices.Contains([]string{"issue", "issuewild", "iodef"}, r.Tag) {
			return nil, fmt.Errorf("unknown tag %q", r.Tag)
		}
		var flag uint8
		if r.Critical {
			flag = 128
		}
		return &dns.CAA{Hdr: h, Flag: flag, Tag: r.Tag, Value: escape(r.Value)}, nil
	}
	host := strings.ToLower(dns.Fqdn(r.Value))
	if host != "." && !validName(host) {
		return nil, fmt.Errorf("%q is no host name", r.Value)
	}
	switch h.Rrtype {
	case dns.TypeMX:
		return &dns.MX{Hdr: h, Preference: r.Priority, Mx: host}, nil
	case dns.TypeSRV:
		return &dns.SRV{Hdr: h, Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: host}, nil
	case dns.TypeCNAME:
		if host == "." {
			return nil, fmt.Errorf("an alias of nothing")
		}
		return &dns.CNAME{Hdr: h, Target: host}, nil
	}
	return nil, fmt.Errorf("the type is not served here")
}

// texts cuts a text into the strings of a TXT record, which have at most 255
// octets each (RFC 1035, 3.3), in the library's escaped form.
func texts(s string) []string {
	parts := []string{}
	for len(s) > 255 {
		parts = append(parts, escape(s[:255]))
		s = s[255:]
	}
	return append(parts, escape(s))
}

// escape protects what the library would read as an escape.
func escape(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

// validName reports whether s, with or without its final dot, is a domain name
// made of letters, digits, hyphens and underscores.
func validName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notHost) {
			return false
		}
	}
	return true
}

func notHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
