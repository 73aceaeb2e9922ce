package dnssec

import "github.com/miekg/dns"

// matchNSEC returns the record of a name.
func (d *denials) matchNSEC(name string) *dns.NSEC {
	for _, n := range d.nsec {
		if n.Hdr.Name == name {
			return n
		}
	}
	return nil
}

// coverNSEC returns the record between whose names a name would be.
func (d *denials) coverNSEC(name string) *dns.NSEC {
	if !under(name, d.zone.name) {
		return nil
	}
	for _, n := range d.nsec {
		if below(name, n.Hdr.Name) && above(n.TypeBitMap) || !under(n.NextDomain, d.zone.name) {
			continue
		}
		after, last := compare(n.Hdr.Name, name) < 0, compare(n.NextDomain, n.Hdr.Name) <= 0
		if after && (last && n.NextDomain == d.zone.name || !last && compare(name, n.NextDomain) < 0) {
			return n
		}
	}
	return nil
}

// encloser returns the longest name that is there above a name that n covers:
// above one of the names beside it.
func encloser(n *dns.NSEC, name string) string {
	a, b := common(n.Hdr.Name, name), common(n.NextDomain, name)
	if len(a) > len(b) {
		return a
	}
	return b
}

// nodataNSEC reports whether NSEC records prove that a name has no records of a
// type: RFC 4035, 5.4; 3.1.3.4 for wildcards.
func (d *denials) nodataNSEC(name string, qtype uint16) bool {
	if n := d.matchNSEC(name); n != nil {
		return lacks(n.TypeBitMap, name, qtype)
	}
	n := d.coverNSEC(name)
	if n == nil {
		return false
	}
	if below(n.NextDomain, name) {
		return true // There are names below it, and nothing at it.
	}
	w := d.matchNSEC(wildcard(encloser(n, name)))
	return w != nil && lacks(w.TypeBitMap, name, qtype)
}
