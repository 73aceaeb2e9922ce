package dnssec

import (
	"bytes"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Names are in the library's escaped form, canonical: lower case, final dot.

// parent returns the name above a name that is not the root.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// under reports whether name is zone or below it.
func under(name, zone string) bool { return dns.IsSubDomain(zone, name) }

// below reports whether name is below zone.
func below(name, zone string) bool { return name != zone && under(name, zone) }

// common returns the longest name that both names are below, or are.
func common(a, b string) string { return ancestor(a, dns.CompareDomainName(a, b)) }

// ancestor returns the last n labels of a name that has as many.
func ancestor(name string, n int) string {
	starts := dns.Split(name)
	if n == 0 || len(starts) == 0 {
		return "."
	}
	return name[starts[len(starts)-n]:]
}

// toward returns the name one label longer than zone on the way to name, which
// is below it.
func toward(zone, name string) string { return ancestor(name, dns.CountLabel(zone)+1) }

// wildcard returns the name of the wildcard right below a name.
func wildcard(name string) string { return "*." + strings.TrimPrefix(name, ".") }

// signedLabels counts labels as RRSIG records do: RFC 4034, 3.1.3.
func signedLabels(name string) int {
	n := dns.CountLabel(name)
	if strings.HasPrefix(name, "*.") {
		n--
	}
	return n
}

// compare is the canonical order of names, RFC 4034, 6.1.
func compare(a, b string) int {
	la, lb := labels(a), labels(b)
	for i := range min(len(la), len(lb)) {
		if c := bytes.Compare(la[i], lb[i]); c != 0 {
			return c
		}
	}
	return len(la) - len(lb)
}

// labels returns the octets of the labels of a name, the top first; nil if it
// is no name.
func labels(name string) [][]byte {
	var wire [256]byte
	end, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return nil
	}
	var list [][]byte
	for at := 0; at < end && wire[at] != 0; at += 1 + int(wire[at]) {
		list = append(list, wire[at+1:at+1+int(wire[at])])
	}
	slices.Reverse(list)
	return list
}
