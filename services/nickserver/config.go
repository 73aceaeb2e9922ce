package nickserver

import (
	"errors"
	"fmt"

	"leap.example/services/protocol/nick"
)

// Config is the section "nickserver" of the configuration.
type Config struct {
	Listen   string `json:"listen"`    // host:port of the lookup API, HTTPS. Required.
	CertFile string `json:"cert_file"` // PEM, the chain of nicknym.DOMAIN by the provider's CA. Required.
	KeyFile  string `json:"key_file"`  // PEM. Required.

	WKDListen   string `json:"wkd_listen,omitempty"`    // host:port of the Web Key Directory, HTTPS. Empty: it is on Listen only.
	WKDCertFile string `json:"wkd_cert_file,omitempty"` // PEM, the chain of openpgpkey.DOMAIN by a public CA. Empty: CertFile and KeyFile.
	WKDKeyFile  string `json:"wkd_key_file,omitempty"`

	Domain        string `json:"domain"`                   // The provider's own. Required.
	LegacyClients bool   `json:"legacy_clients,omitempty"` // Answer malformed questions and failures with the original's status 500.
	Rate          int    `json:"rate,omitempty"`           // Requests per second and client network (IPv4 /24, IPv6 /56), ten times that at once. 0: 20.
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if c.Listen == "" || c.CertFile == "" || c.KeyFile == "" || c.Domain == "" {
		return errors.New("listen, cert_file, key_file and domain are required")
	}
	if (c.WKDCertFile == "") != (c.WKDKeyFile == "") {
		return errors.New("wkd_cert_file and wkd_key_file go together")
	}
	if a, err := nick.ParseAddress("postmaster@" + c.Domain); err != nil || a.Domain() != c.Domain {
		return fmt.Errorf("domain %q is not a lower-case domain name", c.Domain)
	}
	if c.Rate < 0 {
		return errors.New("rate must not be negative")
	}
	return nil
}
