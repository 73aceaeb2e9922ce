package dns

import (
	"strings"

	"github.com/miekg/dns"
)

// specials are the zones that must not be asked for upstream: the question
// alone would tell, or nobody there could know. RFC 7686, 2; RFC 6762, 22.1;
// RFC 6761, 6.3 and 6.4; RFC 9476; RFC 8375, 4; RFC 6303, 4; RFC 7793.
var specials = map[string]bool{
	"onion.": true, "local.": true, "invalid.": true, "localhost.": true, "alt.": true, "internal.": true, "home.arpa.": true,
	"0.in-addr.arpa.": true, "10.in-addr.arpa.": true, "127.in-addr.arpa.": true, "254.169.in-addr.arpa.": true, "168.192.in-addr.arpa.": true,
	"c.f.ip6.arpa.": true, "d.f.ip6.arpa.": true, "8.e.f.ip6.arpa.": true, "9.e.f.ip6.arpa.": true, "a.e.f.ip6.arpa.": true, "b.e.f.ip6.arpa.": true,
	strings.Repeat("0.", 32) + "ip6.arpa.": true, "1." + strings.Repeat("0.", 31) + "ip6.arpa.": true,
}

// special reports whether name is in one of them.
func special(name string) bool {
	if shared(name) {
		return true
	}
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		if specials[name[at:]] {
			return true
		}
	}
	return false
}

// shared reports whether name is the reverse of an address in 172.16.0.0/12 or
// 100.64.0.0/10.
func shared(name string) bool {
	labels := dns.SplitDomainName(name)
	if len(labels) < 4 || !strings.HasSuffix(name, ".in-addr.arpa.") {
		return false
	}
	second, first := labels[len(labels)-4], labels[len(labels)-3]
	n := 0
	for _, c := range second {
		if c < '0' || c > '9' || n > 255 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return first == "172" && n >= 16 && n < 32 || first == "100" && n >= 64 && n < 128
}
