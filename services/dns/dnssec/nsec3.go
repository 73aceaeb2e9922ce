package dnssec

import (
	"strings"

	"github.com/miekg/dns"
)

const (
	maxIterations = 100 // RFC 9276, 3.2.
	optOut        = 1   // The one flag, RFC 5155, 3.1.2.1.
)

// understood reports whether a record is one of those that RFC 5155, 8.1 and
// 8.2 let count, right below the zone's name.
func (d *denials) understood(n *dns.NSEC3) bool {
	return n.Hash == dns.SHA1 && n.Flags&^optOut == 0 && n.Hdr.Name != "." && parent(n.Hdr.Name) == d.zone.name &&
		n.Iterations <= maxIterations && len(n.NextDomain) == 32
}

// hash returns the hash of a name by the parameters of n, in upper case; "" if
// the answer has cost enough.
func (d *denials) hash(n *dns.NSEC3, name string) string {
	k := string([]byte{byte(n.Iterations >> 8), byte(n.Iterations)}) + n.Salt + "/" + name
	h, ok := d.hashed[k]
	if !ok {
		if !take(&d.budget.hashes) {
			return ""
		}
		h = dns.HashName(name, n.Hash, n.Iterations, n.Salt)
		d.hashed[k] = h
	}
	return h
}

// owner returns the hash that n belongs to.
func owner(n *dns.NSEC3) string {
	label, _, _ := strings.Cut(n.Hdr.Name, ".")
	return strings.ToUpper(label)
}

// match3 returns the record of a name.
func (d *denials) match3(name string) *dns.NSEC3 {
	if !under(name, d.zone.name) {
		return nil
	}
	for _, n := range d.nsec3 {
		if h := d.hash(n, name); h != "" && h == owner(n) {
			return n
		}
	}
	return nil
}

// cover3 returns the record between whose hashes that of a name would be.
func (d *denials) cover3(name string) *dns.NSEC3 {
	if !under(name, d.zone.name) {
		return nil
	}
	for _, n := range d.nsec3 {
		h, from, to := d.hash(n, name), owner(n), strings.ToUpper(n.NextDomain)
		switch {
		case h == "":
		case from < to && from < h && h < to,
			from > to && (from < h || h < to),
			from == to && from != h:
			return n
		}
	}
	return nil
}

// A proof3 is a proof of the closest encloser, RFC 5155, 8.3.
type proof3 struct {
	encloser string
	optOut   bool // The next closer name is in a span that unsigned zones are left out of.
}

// closest3 looks for the longest name above name, or at it, that is there, and
// for the proof that the one below it on the way is not.
func (d *denials) closest3(name string) (p proof3, ok bool) {
	if len(d.nsec3) == 0 {
		return p, false
	}
	for at := name; at != d.zone.name && under(at, d.zone.name); at = parent(at) {
		up := parent(at)
		n := d.match3(up)
		if n == nil {
			continue
		}
		next := d.cover3(at)
		if next == nil || above(n.TypeBitMap) {
			return p, false
		}
		return proof3{up, next.Flags&optOut != 0}, true
	}
	return p, false
}
