package dns

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ConfigProvider is what the usual records of a provider follow from. Whoever
// compiles a Config appends its Records to those of the zone.
type ConfigProvider struct {
	Domain string       // Name of the zone. Required.
	Hosts  []ConfigHost // Every name with addresses: "", "api", "nicknym", "openpgpkey", "mta-sts", "soledad", "smtp", "mx1", "ns1".
	MX     []string     // Names among Hosts that take mail in, in order of preference. Empty: the domain takes none.
	DKIM   []ConfigDKIM // Current, next and retired signing keys.
	DMARC  ConfigDMARC
	STS    string   // Id of the current MTA-STS policy, 1-32 letters and digits, RFC 8461, 3.1. Empty: no record.
	TLSRPT string   // Address for reports about TLS, RFC 8460. Empty: no record.
	CAA    []string // Issuers of certificates, RFC 8659. Empty: no record.
}

// ConfigHost is a name with its addresses.
type ConfigHost struct {
	Name      string // Relative to the domain. Empty: the domain itself.
	Addresses []netip.Addr
}

// ConfigDKIM is one DKIM key, RFC 6376, 3.6.1.
type ConfigDKIM struct {
	Selector  string // "202611a".
	Algorithm string // "rsa" or "ed25519" (RFC 8463).
	PublicKey string // Base64 as the record carries it. Empty: the key is revoked.
}

// ConfigDMARC is the domain's policy for mail that fails, RFC 7489.
type ConfigDMARC struct {
	Policy string // none, quarantine or reject. Empty: reject.
	Report string // Address for aggregate reports. Empty: none wanted.
}

// Validate reports the first value that a record could not carry.
func (p ConfigProvider) Validate() error {
	if !validName(p.Domain) {
		return fmt.Errorf("domain %q is no host name", p.Domain)
	}
	for _, mx := range p.MX {
		if !slices.ContainsFunc(p.Hosts, func(h ConfigHost) bool { return h.Name == mx }) {
			return fmt.Errorf("mail exchanger %q is not among the hosts", mx)
		}
	}
	for _, k := range p.DKIM {
		if _, err := base64.StdEncoding.DecodeString(k.PublicKey); err != nil {
			return fmt.Errorf("DKIM key %s: %w", k.Selector, err)
		}
		if k.Algorithm != "rsa" && k.Algorithm != "ed25519" {
			return fmt.Errorf("DKIM key %s: unknown algorithm %q", k.Selector, k.Algorithm)
		}
	}
	if !slices.Contains([]string{"", "none", "quarantine", "reject"}, p.DMARC.Policy) {
		return fmt.Errorf("unknown DMARC policy %q", p.DMARC.Policy)
	}
	return nil
}

// Records returns the records of p, which must be valid.
func (p ConfigProvider) Records() []ConfigRecord {
	var rs []ConfigRecord
	txt := func(name, text string) { rs = append(rs, ConfigRecord{Name: name, Type: "TXT", Value: text}) }
	for _, h := range p.Hosts {
		for _, a := range h.Addresses {
			typ := "AAAA"
			if a.Unmap().Is4() {
				typ = "A"
			}
			rs = append(rs, ConfigRecord{Name: h.Name, Type: typ, Value: a.Unmap().String()})
		}
	}
	rs = append(rs, p.mail()...)
	for _, h := range p.Hosts {
		switch {
		case h.Name == "" || len(h.Addresses) == 0: // The domain's own policy is among the mail records.
		case slices.Contains(p.MX, h.Name):
			txt(h.Name, "v=spf1 a -all") // Of the HELO name, RFC 7208, 2.3.
		default:
			txt(h.Name, "v=spf1 -all")
		}
	}
	for _, k := range p.DKIM {
		txt(k.Selector+"._domainkey", "v=DKIM1; k="+k.Algorithm+"; p="+k.PublicKey)
	}
	for _, issuer := range p.CAA {
		rs = append(rs, ConfigRecord{Type: "CAA", Tag: "issue", Value: issuer})
	}
	return rs
}

// mail returns the records that say how mail to and from the domain goes.
func (p ConfigProvider) mail() []ConfigRecord {
	text := func(name string, parts ...string) ConfigRecord {
		return ConfigRecord{Name: name, Type: "TXT", Value: strings.Join(parts, "; ")}
	}
	var rs []ConfigRecord
	if len(p.MX) == 0 {
		rs = append(rs,
			ConfigRecord{Type: "MX", Value: "."}, // RFC 7505: no mail here.
			text("", "v=spf1 -all"))
	} else {
		for i, mx := range p.MX {
			rs = append(rs, ConfigRecord{Type: "MX", Value: p.host(mx), Priority: uint16(10 * (i + 1))})
		}
		rs = append(rs, text("", "v=spf1 mx -all"))
	}
	policy := p.DMARC.Policy
	if policy == "" {
		policy = "reject"
	}
	dmarc := []string{"v=DMARC1", "p=" + policy, "adkim=s", "aspf=s"}
	if p.DMARC.Report != "" {
		dmarc = append(dmarc, "rua=mailto:"+p.DMARC.Report)
	}
	rs = append(rs, text("_dmarc", dmarc...))
	if p.STS != "" {
		rs = append(rs, text("_mta-sts", "v=STSv1", "id="+p.STS))
	}
	if p.TLSRPT != "" {
		rs = append(rs, text("_smtp._tls", "v=TLSRPTv1", "rua=mailto:"+p.TLSRPT))
	}
	if slices.ContainsFunc(p.Hosts, func(h ConfigHost) bool { return h.Name == "smtp" }) {
		// RFC 8314, 5.1: submission by implicit TLS only, and no IMAP at all:
		// a mail program talks to the client on its own machine.
		rs = append(rs,
			ConfigRecord{Name: "_submissions._tcp", Type: "SRV", Value: p.host("smtp"), Port: 465},
			ConfigRecord{Name: "_submission._tcp", Type: "SRV", Value: "."},
			ConfigRecord{Name: "_imap._tcp", Type: "SRV", Value: "."},
			ConfigRecord{Name: "_imaps._tcp", Type: "SRV", Value: "."})
	}
	return rs
}

// host returns the full name of a host given relative to the domain.
func (p ConfigProvider) host(name string) string {
	if name == "" {
		return p.Domain
	}
	return name + "." + p.Domain
}
