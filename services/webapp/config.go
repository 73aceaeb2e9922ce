package webapp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"leap.example/services/protocol/nick"
)

const defaultMinClient = "0.9.2"

// Config is the section "webapp" of the configuration. All files are read
// when the service starts.
type Config struct {
	Domain string `json:"domain"` // Of the provider, lower case. Required.

	// The API listener: host:port, and its certificate signed by the
	// provider's own CA, PEM. Required.
	Listen   string `json:"listen"`
	CertFile string `json:"cert_file"`
	KeyFile  string `json:"key_file"`

	// The web listener: host:port, and its certificate signed by a public CA,
	// PEM. Required.
	WebListen   string `json:"web_listen"`
	WebCertFile string `json:"web_cert_file"`
	WebKeyFile  string `json:"web_key_file"`

	ProviderFile string `json:"provider_file"` // provider.json. Required.
	CAFile       string `json:"ca_file"`       // Certificate of the provider's CA, PEM; served as /ca.crt. Required.
	// ServiceDir holds soledad-service.json and smtp-service.json; one that is
	// missing is not offered. Required.
	ServiceDir string `json:"service_dir"`
	// GatewaysFile describes the gateways of the VPN, as services/protocol/provider's
	// GatewayList without health and load. From it come eip-service.json and the
	// list that clients choose from. Empty: there are no gateways.
	GatewaysFile string `json:"gateways_file,omitempty"`
	// GatewayTokenFiles are files with invite tokens, one a line, of at least 24
	// characters, by the name of the private gateway that they show.
	GatewayTokenFiles map[string]string `json:"gateway_token_files,omitempty"`
	// MXKeyFiles are the armored public keys with which the MX nodes sign
	// incoming mail.
	MXKeyFiles []string `json:"mx_key_files,omitempty"`
	// SecretFile holds at least 32 random bytes, the same on all nodes: from
	// it come the salts of logins that do not exist. Required.
	SecretFile string `json:"secret_file"`

	// LegacyClients admits the login suite leap-1024.
	LegacyClients bool `json:"legacy_clients,omitempty"`
	// MinClientVersion is what clients must have at least. Default "0.9.2".
	MinClientVersion string `json:"min_client_version,omitempty"`

	// TaskSocket is the path of a unix socket on which root of this machine asks
	// for what is not for the network: invitations. Empty: there is none.
	TaskSocket string `json:"task_socket,omitempty"`

	Admins []string `json:"admins,omitempty"` // Logins of administrators.
	// MonitorTokenFile holds a static token of at least 24 characters that
	// may make, look up and delete test users. Empty: there is none.
	MonitorTokenFile string `json:"monitor_token_file,omitempty"`
	// MonitorIPs are the addresses or prefixes from which that token is
	// accepted, besides loopback.
	MonitorIPs []string `json:"monitor_ips,omitempty"`

	ReservedNames []string `json:"reserved_names,omitempty"` // Logins that no user may have, besides the built-in ones.
	AllowedNames  []string `json:"allowed_names,omitempty"`  // Logins that users may have although they are reserved.

	// Bootstrap is the command that the front page shows for joining this
	// provider. Default "leapc provider add DOMAIN".
	Bootstrap string `json:"bootstrap,omitempty"`
	// SupportURI is where the pages send people who need help: https: or
	// mailto:. Empty: the ticket form.
	SupportURI string `json:"support_uri,omitempty"`
	// AboutFile and PrivacyFile are the provider's own texts, in place of the
	// built-in ones: plain text, paragraphs separated by empty lines, headings
	// after "# ".
	AboutFile   string `json:"about_file,omitempty"`
	PrivacyFile string `json:"privacy_file,omitempty"`

	Limits ConfigLimits `json:"limits,omitzero"`
}

// ConfigLimits are the rates at which webapp answers. A network is a /24 or,
// in IPv6, a /48.
type ConfigLimits struct {
	LoginAccount ConfigRate `json:"login_account,omitzero"` // Logins to one account. Default 10, 120 an hour.
	LoginNetwork ConfigRate `json:"login_network,omitzero"` // Logins from one network. Default 60, 1200 an hour.
	Signup       ConfigRate `json:"signup,omitzero"`        // Sign-ups from one network. Default 10, 60 an hour.
	CertAccount  ConfigRate `json:"cert_account,omitzero"`  // Certificates for one account. Default 10, 60 an hour.
	CertNetwork  ConfigRate `json:"cert_network,omitzero"`  // Anonymous certificates for one network. Default 30, 600 an hour.
	Ticket       ConfigRate `json:"ticket,omitzero"`        // Tickets and replies from one network. Default 5, 30 an hour.
	Lookup       ConfigRate `json:"lookup,omitzero"`        // Keys, tickets and gateways looked up from one network. Default 60, 1200 an hour.
}

// ConfigRate is one rate: so many at once, and so many an hour in the long
// run. The zero value means the default; an hourly rate of -1, no limit.
type ConfigRate struct {
	Burst   int `json:"burst,omitempty"`
	PerHour int `json:"per_hour,omitempty"`
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	for _, f := range []struct{ name, value string }{
		{"domain", c.Domain},
		{"listen", c.Listen},
		{"cert_file", c.CertFile},
		{"key_file", c.KeyFile},
		{"web_listen", c.WebListen},
		{"web_cert_file", c.WebCertFile},
		{"web_key_file", c.WebKeyFile},
		{"provider_file", c.ProviderFile},
		{"ca_file", c.CAFile},
		{"service_dir", c.ServiceDir},
		{"secret_file", c.SecretFile},
	} {
		if f.value == "" {
			return fmt.Errorf("%s is required", f.name)
		}
	}
	if a, err := nick.ParseAddress("x@" + c.Domain); err != nil || a.Domain() != c.Domain {
		return fmt.Errorf("domain: %q is not a host name in lower case", c.Domain)
	}
	if c.SupportURI != "" && !strings.HasPrefix(c.SupportURI, "https://") && !strings.HasPrefix(c.SupportURI, "mailto:") {
		return errors.New("support_uri: want an https: or mailto: address")
	}
	if _, err := prefixes(c.MonitorIPs); err != nil {
		return fmt.Errorf("monitor_ips: %w", err)
	}
	return c.Limits.validate()
}

func (l ConfigLimits) validate() error {
	for _, r := range []ConfigRate{l.LoginAccount, l.LoginNetwork, l.Signup, l.CertAccount, l.CertNetwork, l.Ticket, l.Lookup} {
		if r.Burst < 0 || r.PerHour < -1 || (r.Burst == 0) != (r.PerHour == 0) && r.PerHour != -1 {
			return fmt.Errorf("limits: burst %d with %d an hour makes no rate", r.Burst, r.PerHour)
		}
	}
	return nil
}

// prefixes reads addresses and prefixes.
func prefixes(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		if ip, err := netip.ParseAddr(s); err == nil {
			all = append(all, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
