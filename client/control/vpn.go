package control

import (
	"context"
	"time"
)

// A VPN is what the daemon can do about encrypted internet. Every method may
// be called from any goroutine; long ones end with ctx.
type VPN interface {
	// VPNStatus says how the VPN is. It never fails and never blocks.
	VPNStatus(ctx context.Context) VPNStatus
	// VPNUp begins to connect, and returns before it is connected.
	VPNUp(ctx context.Context, req VPNUpRequest) error
	// VPNDown disconnects. With lockdown nothing leaves afterwards.
	VPNDown(ctx context.Context) error
	// VPNGateways lists the gateways, the ones that would be chosen first.
	VPNGateways(ctx context.Context, req VPNGatewaysRequest) (VPNGateways, error)
	// VPNUse chooses gateways, now and from now on.
	VPNUse(ctx context.Context, req VPNChoice) error
	// VPNSet changes settings; what is nil stays.
	VPNSet(ctx context.Context, req VPNSettings) error
	// VPNPortal opens or closes the portal window.
	VPNPortal(ctx context.Context, req VPNPortal) error
	// VPNExport asks for a lease of its own and returns it as a configuration
	// of wg-quick(8).
	VPNExport(ctx context.Context, req VPNChoice) (VPNConfig, error)
	// VPNImport takes a certificate that was not fetched.
	VPNImport(ctx context.Context, req VPNCertificate) error
}

// VPNUpRequest is the body of POST /v1/vpn/up.
type VPNUpRequest struct {
	Proxy     string `json:"proxy,omitempty"`     // ip:port on loopback: without the helper, for programs that use it as their proxy.
	Account   bool   `json:"account,omitempty"`   // Fetch the certificate as the user, for the user's plan, not anonymously.
	Classical bool   `json:"classical,omitempty"` // Accept gateways without post-quantum key exchange.
}

// States of the VPN.
const (
	VPNDisconnected = "disconnected"
	VPNConnecting   = "connecting"
	VPNConnected    = "connected"
	VPNReconnecting = "reconnecting"
	VPNBlocked      = "blocked" // Nothing leaves; Problem says why.
)

// Ways of the VPN's traffic.
const (
	// VPNUnknown is the traffic of a computer whose helper should be asked and
	// does not answer.
	VPNUnknown = "unknown"

	VPNPathHelper = "helper" // All of this computer, by the privileged helper.
	VPNPathProxy  = "proxy"  // Only programs that use the proxy.
)

// VPNStatus is the answer of GET /v1/vpn.
type VPNStatus struct {
	Schema      int        `json:"schema"`
	State       string     `json:"state"`
	Traffic     string     `json:"traffic"` // open, blocked, tunnel or VPNUnknown.
	Path        string     `json:"path,omitempty"`
	Proxy       string     `json:"proxy,omitempty"` // Where the proxy listens.
	Use         string     `json:"use"`             // "auto", or what was chosen.
	Gateway     string     `json:"gateway,omitempty"`
	Location    string     `json:"location,omitempty"`
	Country     string     `json:"country,omitempty"`
	Endpoint    string     `json:"endpoint,omitempty"`  // Of the tunnel: ip:port.
	Transport   string     `json:"transport,omitempty"` // udp or udp2tcp.
	PostQuantum bool       `json:"post_quantum"`
	Plan        string     `json:"plan,omitempty"` // limited or unlimited.
	RateBytes   int64      `json:"rate_bytes_per_s,omitempty"`
	IPv6        bool       `json:"ipv6"` // The tunnel carries it; otherwise it is blocked.
	Since       *time.Time `json:"since,omitempty"`
	Handshake   *time.Time `json:"last_handshake,omitempty"`
	LeaseEnds   *time.Time `json:"lease_ends,omitempty"`
	Received    uint64     `json:"received"` // Bytes.
	Sent        uint64     `json:"sent"`     // Bytes.
	Lockdown    bool       `json:"lockdown"`
	Autoconnect bool       `json:"autoconnect"`
	LAN         bool       `json:"lan"`
	Exclude     []uint32   `json:"exclude,omitempty"`
	PortalUntil *time.Time `json:"portal_until,omitempty"`
	NextTry     *time.Time `json:"next_try,omitempty"`
	Problem     string     `json:"problem,omitempty"` // What is wrong and what to do.
}

// VPNGatewaysRequest is the body of POST /v1/vpn/gateways.
type VPNGatewaysRequest struct {
	Measure bool `json:"measure,omitempty"` // How far they are.
	Refresh bool `json:"refresh,omitempty"` // Ask the provider now.
}

// VPNGateways is the answer of POST /v1/vpn/gateways.
type VPNGateways struct {
	Schema   int          `json:"schema"`
	Fetched  time.Time    `json:"fetched"`
	Gateways []VPNGateway `json:"gateways"`
}

// A VPNGateway is one of VPNGateways.
type VPNGateway struct {
	Host      string   `json:"host"`
	Location  string   `json:"location,omitempty"` // Key, for "use".
	City      string   `json:"city,omitempty"`
	Country   string   `json:"country,omitempty"`
	Healthy   bool     `json:"healthy"`
	Load      int      `json:"load"` // 0 to 7.
	Plans     []string `json:"plans"`
	IPv6      bool     `json:"ipv6"`
	Private   bool     `json:"private,omitempty"`
	LatencyMS *int64   `json:"latency_ms,omitempty"` // Of a TCP connection, when measured.
	Current   bool     `json:"current,omitempty"`
}

// VPNChoice names gateways: POST /v1/vpn/use, /v1/vpn/export.
type VPNChoice struct {
	// Use is a host name, a location's key, a country code, or "auto".
	Use string `json:"use"`
}

// VPNSettings is the body of POST /v1/vpn/set.
type VPNSettings struct {
	Lockdown    *bool     `json:"lockdown,omitempty"`
	Autoconnect *bool     `json:"autoconnect,omitempty"`
	LAN         *bool     `json:"lan,omitempty"`
	Exclude     *[]uint32 `json:"exclude,omitempty"`
	Invite      *string   `json:"invite,omitempty"` // Token for private gateways.
}

// VPNPortal is the body of POST /v1/vpn/portal.
type VPNPortal struct {
	UID     uint32 `json:"uid"`     // Whose web goes out.
	Seconds int    `json:"seconds"` // 0: close the window.
}

// VPNConfig is the answer of POST /v1/vpn/export.
type VPNConfig struct {
	Schema  int       `json:"schema"`
	Gateway string    `json:"gateway"`
	Ends    time.Time `json:"ends"`
	Config  string    `json:"config"` // With secrets.
}

// VPNCertificate is the body of POST /v1/vpn/import.
type VPNCertificate struct {
	PEM string `json:"pem"` // Private key and certificate.
}
