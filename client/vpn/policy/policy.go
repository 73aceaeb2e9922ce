// Package policy is the contract between the part of the client that decides
// what this computer's traffic may do (client/vpn) and the part that makes it
// so (a Path: client/vpn/userspace, client/vpn/kernel, client/vpn/helper).
//
// A Policy is a whole: it says everything that holds while it is applied, and
// nothing of an earlier one survives it. Whoever applies one either makes all
// of it true or keeps what was. Its zero value lets nothing out, so a policy
// that was lost, cut short or forgotten fails closed.
//
// The types cross the helper's unix socket as JSON; both ends Validate. A
// lease.Key hides itself from fmt, so that a policy may be logged by mistake
// without loss. The package is pure: no clock, no network.
package policy

import (
	"encoding"
	"net/netip"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// Limits of a Policy.
const (
	MaxReach    = 64              // Entries of Policy.Reach.
	MaxExclude  = 64              // Entries of Policy.Exclude.
	MaxPortal   = 5 * time.Minute // Life of a portal window from now.
	maxAddress  = 4               // Entries of Tunnel.Addresses and of Tunnel.DNS.
	maxPEM      = 64 << 10        // Bytes of Wrap.CA and Wrap.Pair.
	maxNameSize = 253             // RFC 1035, 2.3.4.
)

// A Mode is what happens to traffic that nothing else in the policy names.
type Mode uint8

// Modes. Their texts are the wire values.
const (
	Blocked Mode = iota // Nothing leaves. The zero value.
	Tunnel              // All traffic goes through the tunnel, or nowhere.
	Open                // As if there were no VPN: the only mode that lets plain traffic out.
)

var modeNames = []string{"blocked", "tunnel", "open"}

// String returns the wire value.
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return "invalid"
	}
	return modeNames[m]
}

// MarshalText is the wire form; an unknown mode is Invalid.
func (m Mode) MarshalText() ([]byte, error) {
	if int(m) >= len(modeNames) {
		return nil, problem.Invalid.Errorf("unknown mode of traffic")
	}
	return []byte(modeNames[m]), nil
}

// UnmarshalText reads the wire form; an unknown mode is Invalid.
func (m *Mode) UnmarshalText(text []byte) error {
	i := slices.Index(modeNames, string(text))
	if i < 0 {
		return problem.Invalid.Errorf("unknown mode of traffic")
	}
	*m = Mode(i)
	return nil
}

var (
	_ encoding.TextMarshaler   = Open
	_ encoding.TextUnmarshaler = (*Mode)(nil)
)

// A Policy is what this computer is to do with its traffic.
type Policy struct {
	Mode Mode `json:"mode"`
	// Reach is where sockets made by Path.Dial may go outside the tunnel, by
	// TCP and UDP: the gateway's lease port, the endpoint of the tunnel, the
	// provider's API, a resolver while names must be found. No other process
	// may reach them so. The tunnel's own endpoint needs no entry.
	Reach []netip.AddrPort `json:"reach,omitempty"`
	// Tunnel must be there with Mode Tunnel and with no other.
	Tunnel *Link `json:"tunnel,omitempty"`
	// LAN leaves the local network reachable: private and link-local
	// addresses and multicast, never a DNS server.
	LAN bool `json:"lan,omitempty"`
	// Portal is a hole for one user until a time. Not with Mode Open.
	Portal *Portal `json:"portal,omitempty"`
	// Exclude are the users whose traffic goes outside the tunnel, but for
	// questions to the tunnel's resolvers. Never root. Only with Mode Tunnel.
	Exclude []uint32 `json:"exclude,omitempty"`
}

// A Link is a WireGuard tunnel to one peer, for all addresses of the families
// of Addresses. Traffic of a family that has no address is rejected.
type Link struct {
	PrivateKey lease.Key      `json:"private_key"`
	Addresses  []netip.Prefix `json:"addresses"` // Of this end: at least one /32 or /128.
	DNS        []netip.Addr   `json:"dns"`       // The only resolvers, reached through the tunnel. Port 53 to anywhere else is rejected.
	MTU        int            `json:"mtu"`       // Of the inner link, bytes.
	PeerKey    lease.Key      `json:"peer_key"`
	PSK        lease.Key      `json:"psk"`
	Endpoint   netip.AddrPort `json:"endpoint"`
	Wrap       *Wrap          `json:"wrap,omitempty"` // Nil: plain UDP.
}

// A Wrap carries the tunnel's datagrams over TLS 1.3 ("udp2tcp": ALPN
// "leap-udp/1", framed as services/protocol/lease says). The gateway wants to
// see the client's certificate, and X25519MLKEM768 unless it is told otherwise.
type Wrap struct {
	ServerName string `json:"server_name"` // That the gateway's certificate must show: a name or an address.
	CA         []byte `json:"ca"`          // The provider's CA, PEM. Nobody else is trusted.
	Pair       Pair   `json:"pair"`
}

// A Portal lets one user's DNS (port 53) and web (TCP 80 and 443) out beside
// the tunnel, to log in at a captive portal. Whoever applies it closes it at
// Until by itself, also when nobody is left to ask for it.
type Portal struct {
	UID   uint32    `json:"uid"`
	Until time.Time `json:"until"`
}

// Validate returns Invalid unless p makes sense at the time now. A portal
// window that is already over is no error: it is none.
func (p Policy) Validate(now time.Time) error {
	if int(p.Mode) >= len(modeNames) {
		return problem.Invalid.Errorf("unknown mode of traffic")
	}
	if (p.Mode == Tunnel) != (p.Tunnel != nil) {
		return problem.Invalid.Errorf("mode %s with the wrong description of a tunnel", p.Mode)
	}
	if len(p.Reach) > MaxReach || len(p.Exclude) > MaxExclude {
		return problem.Invalid.Errorf("a policy may name at most %d addresses and %d users", MaxReach, MaxExclude)
	}
	for _, a := range p.Reach {
		if !target(a) {
			return problem.Invalid.Errorf("an address to reach is no unicast address with a port")
		}
	}
	if len(p.Exclude) > 0 && (p.Mode != Tunnel || slices.Contains(p.Exclude, 0)) {
		return problem.Invalid.Errorf("only users other than root can be outside a tunnel")
	}
	if w := p.Portal; w != nil {
		if p.Mode == Open || w.UID == 0 {
			return problem.Invalid.Errorf("a portal window is for a user other than root while traffic is blocked")
		}
		if w.Until.After(now.Add(MaxPortal)) {
			return problem.Invalid.Errorf("a portal window is open for at most %v", MaxPortal)
		}
	}
	if p.Tunnel != nil {
		return p.Tunnel.validate()
	}
	return nil
}

func (l *Link) validate() error {
	switch {
	case l.PrivateKey.IsZero() || l.PeerKey.IsZero() || l.PSK.IsZero():
		return problem.Invalid.Errorf("a tunnel needs the keys of both ends and a pre-shared key")
	case len(l.Addresses) == 0 || len(l.Addresses) > maxAddress || len(l.DNS) == 0 || len(l.DNS) > maxAddress:
		return problem.Invalid.Errorf("a tunnel needs 1 to %d addresses and resolvers", maxAddress)
	case l.MTU < lease.MinMTU || l.MTU > lease.MaxMTU:
		return problem.Invalid.Errorf("the MTU of a tunnel is %d to %d bytes", lease.MinMTU, lease.MaxMTU)
	case !target(l.Endpoint):
		return problem.Invalid.Errorf("the endpoint is no unicast address with a port")
	}
	for _, a := range l.Addresses {
		if !a.IsSingleIP() || !unicast(a.Addr()) {
			return problem.Invalid.Errorf("an address of the tunnel is no single unicast address")
		}
	}
	for _, a := range l.DNS {
		if !unicast(a) {
			return problem.Invalid.Errorf("a resolver is no unicast address")
		}
	}
	if w := l.Wrap; w != nil && (w.ServerName == "" || len(w.ServerName) > maxNameSize ||
		len(w.CA) == 0 || len(w.CA) > maxPEM || len(w.Pair.PEM()) == 0 || len(w.Pair.PEM()) > maxPEM) {
		return problem.Invalid.Errorf("a tunnel over TLS needs a server's name, the provider's CA, and a certificate with its key")
	}
	return nil
}

// target reports whether a packet can be sent to a.
func target(a netip.AddrPort) bool { return unicast(a.Addr()) && a.Port() != 0 }

// unicast refuses zones and IPv4 in IPv6 as well: one address has one form.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == "" &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
