package provider

import (
	"net/netip"
	"strconv"

	"leap.example/services/protocol/problem"
)

// TransportWireGuard is the type of the transports of our gateways.
const TransportWireGuard = "wireguard"

// An EIPService is eip-service.json, version 1: the VPN gateways.
//
// Readers of this version take every gateway in it for OpenVPN, whatever its
// transports say (leap-protocols.md 11.5), and would dial WireGuard's ports
// for ever. So ours lists no gateway: they say at once that there is none.
type EIPService struct {
	Serial    int                 `json:"serial"`
	Version   int                 `json:"version"`
	Gateways  []EIPGateway        `json:"gateways"`
	Locations map[string]Location `json:"locations"`
	OpenVPN   map[string]any      `json:"openvpn_configuration,omitempty"`
}

// An EIPGateway is one VPN gateway of version 1.
type EIPGateway struct {
	Host         string       `json:"host"`
	IPAddress    string       `json:"ip_address"`
	Location     string       `json:"location,omitempty"`
	Capabilities Capabilities `json:"capabilities"`
}

// Capabilities say how a gateway is reached and what it does.
type Capabilities struct {
	Ports     []string `json:"ports"` // Decimal numbers as strings.
	Protocols []string `json:"protocols"`
	Transport []string `json:"transport"`
	Limited   bool     `json:"limited"`
	AdBlock   bool     `json:"adblock"`
	FilterDNS bool     `json:"filter_dns"`
	UserIPs   bool     `json:"user_ips"`
}

// An EIPService3 is eip-service.json, version 3: the VPN gateways, each with
// its transports. Readers skip transports of a type that they do not know.
type EIPService3 struct {
	Serial    int                 `json:"serial"`
	Version   int                 `json:"version"`
	Auth      string              `json:"auth,omitempty"` // "anon": certificates need no account.
	Gateways  []EIPGateway3       `json:"gateways"`
	Locations map[string]Location `json:"locations"`
	OpenVPN   map[string]any      `json:"openvpn_configuration,omitempty"`
}

// An EIPGateway3 is one VPN gateway of version 3.
type EIPGateway3 struct {
	Host         string        `json:"host"` // Name in the certificate of its lease API.
	IPAddress    string        `json:"ip_address"`
	IPAddress6   string        `json:"ip_address6,omitempty"`
	Location     string        `json:"location,omitempty"`
	Capabilities Capabilities3 `json:"capabilities"`
}

// Capabilities3 say how a gateway is reached and what it does.
type Capabilities3 struct {
	Transport []EIPTransport `json:"transport"`
	Limited   bool           `json:"limited"` // It has nothing but limited bandwidth.
	AdBlock   bool           `json:"adblock"`
	FilterDNS bool           `json:"filter_dns"`
}

// An EIPTransport is one way to reach a gateway. Of the type wireguard it has
// the option lease_port, the TCP port of the lease API, and the protocols udp
// or udp2tcp.
type EIPTransport struct {
	Type      string            `json:"type"`
	Protocols []string          `json:"protocols"`
	Ports     []string          `json:"ports"` // Decimal numbers as strings, the preferred one first.
	Options   map[string]string `json:"options,omitempty"`
}

// optionLeasePort is the option of wireguard's transports.
const optionLeasePort = "lease_port"

// ParseEIP reads eip-service.json, version 1; errors are Invalid.
func ParseEIP(data []byte) (EIPService, error) {
	var s EIPService
	if err := decode(data, "eip-service.json", &s); err != nil {
		return EIPService{}, err
	}
	for _, g := range s.Gateways {
		if _, err := netip.ParseAddr(g.IPAddress); err != nil || !hostname(g.Host) {
			return EIPService{}, problem.Invalid.Errorf("eip-service.json: malformed gateway %q", g.Host)
		}
	}
	return s, nil
}

// ParseEIP3 reads eip-service.json, version 3; errors are Invalid. What it says
// of transports of other types than wireguard is not looked at.
func ParseEIP3(data []byte) (EIPService3, error) {
	var s EIPService3
	if err := decode(data, "eip-service.json", &s); err != nil {
		return EIPService3{}, err
	}
	if s.Version != 3 && s.Version != 4 {
		return EIPService3{}, problem.Invalid.Errorf("eip-service.json: version %d is neither 3 nor 4", s.Version)
	}
	for _, g := range s.Gateways {
		if err := g.validate(); err != nil {
			return EIPService3{}, err
		}
	}
	return s, nil
}

func (g EIPGateway3) validate() error {
	if _, err := netip.ParseAddr(g.IPAddress); err != nil || !hostname(g.Host) {
		return problem.Invalid.Errorf("eip-service.json: malformed gateway %q", g.Host)
	}
	if a, err := netip.ParseAddr(g.IPAddress6); g.IPAddress6 != "" && (err != nil || !a.Is6()) {
		return problem.Invalid.Errorf("eip-service.json: ip_address6 of %q is not of IPv6", g.Host)
	}
	for _, t := range g.Capabilities.Transport {
		if t.Type != TransportWireGuard {
			continue
		}
		ports := t.Ports
		if p, ok := t.Options[optionLeasePort]; ok {
			ports = append(ports[:len(ports):len(ports)], p)
		}
		for _, p := range ports {
			if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
				return problem.Invalid.Errorf("eip-service.json: %q is no port of %q", p, g.Host)
			}
		}
	}
	return nil
}
