package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/upstream"
)

// ConfigResolver is the role for the node itself and for tunnel clients.
type ConfigResolver struct {
	// Addresses IP:port, each opened for UDP and TCP. Empty: the role is off. An
	// address may come to the node later, as that of a tunnel does.
	Listen []string `json:"listen,omitempty"`
	// Networks that may ask, those of tunnel clients among them. Empty: loopback.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Resolvers that are asked, in order of preference: "192.0.2.1:53", or by TLS
	// "tls://dns.example@192.0.2.1:853" or "tls://192.0.2.1:853#PIN" with the
	// base64 of the SHA-256 of its public key. Empty: own zones only.
	Upstreams []string `json:"upstreams,omitempty"`
	// File with the certificates, in PEM, of those who vouch for the names of
	// upstreams that are asked by TLS. Needed for those without a pin.
	CAFile       string `json:"ca_file,omitempty"`
	CacheEntries int    `json:"cache_entries,omitempty"` // Answers kept, of at most 4 KiB. 0: 4096.
	// How long after its time an answer may still be given while no upstream
	// answers, RFC 8767, in seconds. 0: not at all.
	Stale int `json:"stale,omitempty"`
	// UDP answers per second and client address. 0: 1000.
	Rate int `json:"rate,omitempty"`
	// "on" or empty: answers are validated, and those that are forged are
	// SERVFAIL. "off": whatever an upstream says is passed on; for a laboratory
	// whose names are not signed.
	DNSSEC string `json:"dnssec,omitempty"`
	// Keys of zones by which answers are validated, as DS or DNSKEY records in
	// the form of a zone file. Empty: those of the root, which come with the
	// release.
	TrustAnchors []string `json:"trust_anchors,omitempty"`
	// Zones that the upstreams know and the public tree does not: they are not
	// validated, and asked for even if their names are for private use.
	Private []string `json:"private,omitempty"`
}

// validate reports what is missing or wrong.
func (c ConfigResolver) validate() error {
	for _, l := range c.Listen {
		if _, err := netip.ParseAddrPort(l); err != nil {
			return fmt.Errorf("resolver.listen %q: write an IP address and a port, as in \"10.64.0.1:53\" or \"[fd00:64::1]:53\"", l)
		}
	}
	for _, p := range c.Allow {
		if !p.IsValid() {
			return errors.New("resolver.allow: an allowed network is invalid: write it as \"10.64.0.0/16\"")
		}
	}
	upstreams, err := c.upstreams()
	if err != nil {
		return fmt.Errorf("resolver.upstreams: %w", err)
	}
	for _, u := range upstreams {
		if u.TLS && len(u.Pins) == 0 && c.CAFile == "" {
			return fmt.Errorf("resolver.upstreams: nobody vouches for %s: set resolver.ca_file, or add the pin of its public key", u)
		}
	}
	if c.CacheEntries < 0 || c.Stale < 0 || c.Rate < 0 {
		return errors.New("resolver: cache_entries, stale and rate must not be negative")
	}
	if c.DNSSEC != "" && c.DNSSEC != "on" && c.DNSSEC != "off" {
		return fmt.Errorf("resolver.dnssec is %s: write \"on\" or \"off\"", strconv.Quote(c.DNSSEC))
	}
	_, err = c.validator()
	return err
}

func (c ConfigResolver) upstreams() (list []upstream.Address, err error) {
	for _, text := range c.Upstreams {
		a, err := upstream.Parse(text)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// validator returns what validates answers; nil: nothing does.
func (c ConfigResolver) validator() (*dnssec.Validator, error) {
	v, err := dnssec.New(dnssec.Config{Anchors: c.TrustAnchors, Negative: c.Private})
	if err != nil {
		return nil, fmt.Errorf("resolver.trust_anchors, resolver.private: %w", err)
	}
	if c.DNSSEC == "off" {
		return nil, nil
	}
	return v, nil
}
