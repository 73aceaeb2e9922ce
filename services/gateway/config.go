package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
)

// Presets of Config.
const (
	DefaultMTU  = 1420
	DefaultRate = 102400 // leap-protocols.md 11: bandwidth_limit.

	defaultCapacity    = 500
	defaultLeases      = 3
	defaultLife        = 24 * time.Hour
	defaultConnections = 4096
	defaultNetwork     = 256
	defaultRequests    = 240
	maxPlaces          = 1 << 16 // Most addresses that are given out of a pool.
)

// Config is the section "gateway" of the configuration.
type Config struct {
	Listen       []string `json:"listen"`         // host:port (443 and 1194) of the lease API and of the fallback over TLS. Required.
	CertFile     string   `json:"cert_file"`      // Of the gateway's name, PEM. Required.
	KeyFile      string   `json:"key_file"`       // PEM. Required.
	ClientCAFile string   `json:"client_ca_file"` // PEM of the CA of client certificates. Required.
	WGKeyFile    string   `json:"wg_key_file"`    // WireGuard's private key, base64 as of wg(8). Required.
	// RunDir is a directory in memory (below /run), of this service alone. It
	// holds the leases over a restart. Required.
	RunDir string `json:"run_dir"`

	Entry    []ConfigEntry `json:"entry"`              // Where clients send their datagrams, in the order of preference. Required.
	WGListen []string      `json:"wg_listen"`          // host:port at which the data plane takes datagrams. The fallback hands its own to the first. Required.
	IPv4     netip.Prefix  `json:"ipv4"`               // Of the tunnel, /8 to /29. Its first address is the gateway's own, and resolves names. Required.
	IPv6     netip.Prefix  `json:"ipv6,omitzero"`      // Of the tunnel, /48 to /112. Empty: no IPv6 in the tunnel.
	Egress   []netip.Addr  `json:"egress,omitempty"`   // From which clients' traffic leaves. Of several, one by the client's address. Empty: the machine's choice.
	Resolver string        `json:"resolver,omitempty"` // host:port that the userspace data plane asks for its clients. Empty: names are not resolved.
	Lab      []ConfigLab   `json:"lab,omitempty"`      // What clients of the userspace data plane find instead of addresses for examples. For developers and tests.
	MTU      int           `json:"mtu,omitempty"`      // Of the tunnel's packets, bytes. 0: 1420.

	// Capacity is how many leases the gateway bears well: by it clients are told how
	// busy it is, and choose. More are admitted while there are addresses. 0: 500.
	Capacity       int    `json:"capacity,omitempty"`
	Rate           int64  `json:"rate,omitempty"`            // Of a client with a limited plan, bytes a second in each direction. 0: 102400.
	Leases         int    `json:"leases,omitempty"`          // Of one certificate at once. 0: 3.
	Life           string `json:"life,omitempty"`            // Of a lease: a duration with a unit, a minute to a day. It ends with the certificate at the latest. "": "24h".
	AllowClassical bool   `json:"allow_classical,omitempty"` // Admit clients without X25519MLKEM768. Their leases say so.

	Connections int `json:"connections,omitempty"` // To all listeners together. 0: 4096.
	// NetworkConnections are those of one network (as below) at once. Many clients may share an address. 0: 256.
	NetworkConnections int `json:"connections_per_network,omitempty"`
	Requests           int `json:"requests_per_minute,omitempty"` // Of one network (IPv4 address, IPv6 /56). 0: 240.
}

// ConfigEntry is an address of the gateway, as clients see it.
type ConfigEntry struct {
	Addr     netip.Addr `json:"addr"`                // Required.
	Ports    []uint16   `json:"ports"`               // UDP. Required.
	TLSPorts []uint16   `json:"tls_ports,omitempty"` // TCP, of the fallback. Empty: there is none.
}

// ConfigLab stands for a network of this machine that clients reach under
// addresses for examples (RFC 5737, 3849), since no packet for loopback goes
// through a tunnel.
type ConfigLab struct {
	As netip.Prefix `json:"as"` // What clients call it. Required.
	Is netip.Prefix `json:"is"` // Of the same length. Required.
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if len(c.Listen) == 0 || c.CertFile == "" || c.KeyFile == "" || c.ClientCAFile == "" || c.WGKeyFile == "" || c.RunDir == "" {
		return errors.New("listen, cert_file, key_file, client_ca_file, wg_key_file and run_dir are required")
	}
	if len(c.Entry) == 0 || len(c.WGListen) == 0 {
		return errors.New("entry and wg_listen are required")
	}
	for _, a := range slices.Concat(c.Listen, c.WGListen) {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("listen or wg_listen: %w", err)
		}
	}
	for _, e := range c.Entry {
		if !e.Addr.IsValid() || len(e.Ports) == 0 || slices.Contains(slices.Concat(e.Ports, e.TLSPorts), 0) {
			return errors.New("entry: addr and ports are required, and no port is 0")
		}
	}
	if !c.IPv4.IsValid() || !c.IPv4.Addr().Is4() || c.IPv4 != c.IPv4.Masked() || c.IPv4.Bits() < 8 || c.IPv4.Bits() > 29 {
		return errors.New("ipv4: not a network of IPv4 from /8 to /29")
	}
	if c.IPv6.IsValid() && (!c.IPv6.Addr().Is6() || c.IPv6 != c.IPv6.Masked() || c.IPv6.Bits() < 48 || c.IPv6.Bits() > 112) {
		return errors.New("ipv6: not a network of IPv6 from /48 to /112")
	}
	for _, l := range c.Lab {
		if !l.As.IsValid() || l.As.Bits() != l.Is.Bits() || l.As.Addr().BitLen() != l.Is.Addr().BitLen() || l.As != l.As.Masked() || l.Is != l.Is.Masked() {
			return errors.New("lab: as and is are two networks of the same length")
		}
	}
	if c.MTU != 0 && (c.MTU < lease.MinMTU || c.MTU > lease.MaxMTU) {
		return fmt.Errorf("mtu: %d is not between %d and %d", c.MTU, lease.MinMTU, lease.MaxMTU)
	}
	if c.Capacity < 0 || c.Rate < 0 || c.Leases < 0 || c.Connections < 0 || c.NetworkConnections < 0 || c.Requests < 0 {
		return errors.New("capacity, rate, leases, connections, connections_per_network and requests_per_minute are not negative")
	}
	_, err := c.life()
	return err
}

func (c Config) life() (time.Duration, error) {
	if c.Life == "" {
		return defaultLife, nil
	}
	d, err := time.ParseDuration(c.Life)
	if err != nil {
		return 0, fmt.Errorf("life: %w", err)
	}
	if d < time.Minute || d > defaultLife {
		return 0, fmt.Errorf("life: %s is not between a minute and a day", c.Life)
	}
	return d, nil
}

// Own returns the gateway's addresses in the tunnel, the first of each network.
func (c Config) Own() []netip.Addr {
	own := []netip.Addr{c.IPv4.Addr().Next()}
	if c.IPv6.IsValid() {
		own = append(own, c.IPv6.Addr().Next())
	}
	return own
}

// WithDefaults returns c with its presets filled in.
func (c Config) WithDefaults() Config {
	preset(&c.MTU, DefaultMTU)
	preset(&c.Rate, DefaultRate)
	preset(&c.Capacity, defaultCapacity)
	preset(&c.Leases, defaultLeases)
	preset(&c.Connections, defaultConnections)
	preset(&c.NetworkConnections, defaultNetwork)
	preset(&c.Requests, defaultRequests)
	return c
}

func preset[T int | int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}
