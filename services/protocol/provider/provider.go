package provider

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"leap.example/services/protocol/problem"
)

// MaxDocument is the greatest length of a document that is parsed, bytes.
const MaxDocument = 256 << 10

// A Provider is provider.json.
type Provider struct {
	APIURI            string            `json:"api_uri"`     // Without a version path.
	APIVersion        string            `json:"api_version"` // "1".
	CACertFingerprint string            `json:"ca_cert_fingerprint"`
	CACertURI         string            `json:"ca_cert_uri"`
	DefaultLanguage   string            `json:"default_language"`
	Description       map[string]string `json:"description"` // By language.
	Domain            string            `json:"domain"`
	EnrollmentPolicy  string            `json:"enrollment_policy"` // "open", "invite" or "closed".
	Languages         []string          `json:"languages"`
	Name              map[string]string `json:"name"`                  // By language.
	NicknymURI        string            `json:"nicknym_uri,omitempty"` // Default: https://nicknym.DOMAIN:6425.
	Service           Service           `json:"service"`
	Services          []string          `json:"services"` // "mx", "wireguard", "openvpn".
}

// Service says what the provider offers.
type Service struct {
	AllowAnonymous          bool             `json:"allow_anonymous"`
	AllowFree               bool             `json:"allow_free"`
	AllowLimitedBandwidth   bool             `json:"allow_limited_bandwidth"`
	AllowPaid               bool             `json:"allow_paid"`
	AllowRegistration       bool             `json:"allow_registration"`
	AllowUnlimitedBandwidth bool             `json:"allow_unlimited_bandwidth"`
	BandwidthLimit          int64            `json:"bandwidth_limit"` // Bytes per second.
	DefaultServiceLevel     int              `json:"default_service_level"`
	Levels                  map[string]Level `json:"levels"` // By number.
}

// A Level is one service level.
type Level struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Storage     int64              `json:"storage,omitempty"`   // MB.
	Rate        map[string]float64 `json:"rate,omitempty"`      // By currency.
	Bandwidth   string             `json:"bandwidth,omitempty"` // "limited".
	Services    []string           `json:"services,omitempty"`
}

// Parse reads and validates provider.json; errors are Invalid.
func Parse(data []byte) (Provider, error) {
	var p Provider
	if len(data) > MaxDocument || json.Unmarshal(data, &p) != nil {
		return Provider{}, problem.Invalid.Errorf("malformed provider.json")
	}
	if err := p.Validate(); err != nil {
		return Provider{}, err
	}
	return p, nil
}

// Validate checks what a client builds on; errors are Invalid.
func (p Provider) Validate() error {
	if !hostname(p.Domain) {
		return problem.Invalid.Errorf("provider.json: domain %q is not a host name", p.Domain)
	}
	for _, u := range []struct {
		name, uri string
		bare      bool
	}{
		{"api_uri", p.APIURI, true},
		{"ca_cert_uri", p.CACertURI, false},
		{"nicknym_uri", p.Nicknym(), true},
	} {
		if !secureURI(u.uri, u.bare) {
			return problem.Invalid.Errorf("provider.json: %s %q is not an https address", u.name, u.uri)
		}
	}
	if !slices.Contains([]string{"open", "invite", "closed"}, p.EnrollmentPolicy) {
		return problem.Invalid.Errorf("provider.json: unknown enrollment_policy %q", p.EnrollmentPolicy)
	}
	_, err := ParseFingerprint(p.CACertFingerprint)
	return err
}

// Nicknym returns the address of the provider's nickserver, without a path.
func (p Provider) Nicknym() string {
	if p.NicknymURI != "" {
		return strings.TrimSuffix(p.NicknymURI, "/")
	}
	return "https://nicknym." + p.Domain + ":6425"
}

// secureURI reports whether s is an https URL with a host and nothing that
// could hide where it leads; a bare one has no path.
func secureURI(s string, bare bool) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	return !bare || u.Path == "" || u.Path == "/"
}

// hostname is RFC 1123, 2.1, in lower case.
func hostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(s) <= 253
}
