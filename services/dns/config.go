package dns

import (
	"errors"
)

// Config is the section "dns" of the configuration.
type Config struct {
	Zones         []ConfigZone        `json:"zones,omitempty"` // The provider's own zones, served by both roles.
	Authoritative ConfigAuthoritative `json:"authoritative"`
	Resolver      ConfigResolver      `json:"resolver"`
}

// ConfigAuthoritative is the public role.
type ConfigAuthoritative struct {
	// Addresses host:port, each opened for UDP and TCP. Empty: the role is
	// off. A node with several addresses lists them: an answer to a packet
	// that came in by a wildcard may leave by the wrong one.
	Listen []string `json:"listen,omitempty"`
	// UDP answers per second and client network (IPv4 /24, IPv6 /56). 0: 200.
	Rate int `json:"rate,omitempty"`
}

// ConfigZone is one zone.
type ConfigZone struct {
	Name        string         `json:"name"`         // Of the zone, "example.org". Required.
	SOA         ConfigSOA      `json:"soa"`          // Its start of authority.
	NameServers []string       `json:"name_servers"` // Host names, the primary first. Required: one.
	TTL         uint32         `json:"ttl"`          // Of records that name none, seconds. 0: 3600.
	Records     []ConfigRecord `json:"records"`      // All records but SOA and NS.
}

// ConfigSOA holds the parameters of a zone's start of authority, RFC 1035,
// 3.3.13. Times are seconds.
type ConfigSOA struct {
	Contact  string `json:"contact,omitempty"`  // Mail address of who is responsible. Empty: hostmaster@ the zone.
	Serial   uint32 `json:"serial"`             // Grows with every change. Required.
	Refresh  uint32 `json:"refresh,omitempty"`  // 0: 3600.
	Retry    uint32 `json:"retry,omitempty"`    // 0: 600.
	Expire   uint32 `json:"expire,omitempty"`   // 0: 1209600.
	Negative uint32 `json:"negative,omitempty"` // How long others remember that a name is not there. 0: 300.
}

// ConfigRecord is one record of a zone.
type ConfigRecord struct {
	Name     string `json:"name,omitempty"`     // Relative to the zone, without a final dot. Empty: the zone itself.
	Type     string `json:"type"`               // A, AAAA, MX, TXT, CNAME, SRV or CAA.
	TTL      uint32 `json:"ttl,omitempty"`      // Seconds. 0: the zone's.
	Value    string `json:"value"`              // Address; full host name ("." for none); text of any length; value of a CAA property.
	Priority uint16 `json:"priority,omitempty"` // MX, SRV: less is preferred.
	Weight   uint16 `json:"weight,omitempty"`   // SRV.
	Port     uint16 `json:"port,omitempty"`     // SRV.
	Tag      string `json:"tag,omitempty"`      // CAA: issue, issuewild or iodef.
	Critical bool   `json:"critical,omitempty"` // CAA: issuers that do not know the tag must refuse.
}

// Validate reports what is missing or wrong, zones included.
func (c Config) Validate() error {
	if len(c.Authoritative.Listen) == 0 && len(c.Resolver.Listen) == 0 {
		return errors.New("neither role has a listen address")
	}
	if len(c.Authoritative.Listen) > 0 && len(c.Zones) == 0 {
		return errors.New("the authoritative role has no zones")
	}
	if c.Authoritative.Rate < 0 {
		return errors.New("authoritative.rate must not be negative")
	}
	if err := c.Resolver.validate(); err != nil {
		return err
	}
	_, err := newZones(c.Zones)
	return err
}
