package provider

import (
	"encoding/json"
	"net/netip"
	"strings"

	"leap.example/services/protocol/problem"
)

// Configs is the index of service files, GET /1/configs.json.
type Configs struct {
	Services map[string]string `json:"services"` // Name to path, from the root of api_uri.
}

// A HostsService is soledad-service.json or smtp-service.json.
type HostsService struct {
	Serial    int                 `json:"serial"`
	Version   int                 `json:"version"`
	Hosts     map[string]Host     `json:"hosts"` // By node name.
	Locations map[string]Location `json:"locations"`
}

// A Host is one node that offers the service.
type Host struct {
	Hostname  string `json:"hostname"`
	IPAddress string `json:"ip_address"`
	Port      int    `json:"port"`
	Location  string `json:"location,omitempty"`
}

// A Location is where a node stands.
type Location struct {
	ID          string  `json:"id,omitempty"`
	Name        string  `json:"name"`
	CountryCode string  `json:"country_code"`  // ISO 3166-1, two letters.
	Timezone    string  `json:"timezone"`      // Hours east of Greenwich, "+1", as [ParseTimezone] reads them.
	Hemisphere  string  `json:"hemisphere"`    // "N" or "S".
	Latitude    float64 `json:"lat,omitempty"` // Degrees north. With Longitude 0: not known.
	Longitude   float64 `json:"lon,omitempty"` // Degrees east.
}

// ParseConfigs reads the index; errors are Invalid.
func ParseConfigs(data []byte) (Configs, error) {
	var c Configs
	if err := decode(data, "configs.json", &c); err != nil {
		return Configs{}, err
	}
	for name, path := range c.Services {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			return Configs{}, problem.Invalid.Errorf("configs.json: %s has no path", name)
		}
	}
	return c, nil
}

// ParseHosts reads soledad-service.json or smtp-service.json; errors are
// Invalid, also when a host has no usable name, address or port.
func ParseHosts(data []byte) (HostsService, error) {
	var s HostsService
	if err := decode(data, "service file", &s); err != nil {
		return HostsService{}, err
	}
	for name, h := range s.Hosts {
		_, err := netip.ParseAddr(h.IPAddress)
		if err != nil || !hostname(h.Hostname) || h.Port < 1 || h.Port > 65535 {
			return HostsService{}, problem.Invalid.Errorf("service file: malformed host %q", name)
		}
	}
	return s, nil
}

func decode(data []byte, what string, v any) error {
	if len(data) > MaxDocument || json.Unmarshal(data, v) != nil {
		return problem.Invalid.Errorf("malformed %s", what)
	}
	return nil
}
