package node

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"
)

// Schema is the version of the document that this package writes, and
// OldestSchema the oldest one that it reads. An image reads what the release
// before it read.
const (
	Schema       = 1
	OldestSchema = 1
)

// A Document is all that a node shall be.
type Document struct {
	Schema      int    `json:"schema"`                // Required: [Schema].
	Provider    string `json:"provider"`              // Domain of the provider. Required.
	Node        string `json:"node"`                  // Name of the node, one DNS label. Required.
	Environment string `json:"environment,omitempty"` // Nodes of one environment know each other.
	Generation  uint64 `json:"generation,omitempty"`  // Given when it is signed; greater than all before.
	LeastImage  string `json:"least_image,omitempty"` // Oldest release that can do this. Empty: any that reads the schema.

	Network  Network            `json:"network"`
	Mesh     *Mesh              `json:"mesh,omitempty"` // None: the node is alone.
	Agent    Agent              `json:"agent"`
	Time     Time               `json:"time,omitzero"`
	Gate     Gate               `json:"gate,omitzero"`
	Updates  *Updates           `json:"updates,omitempty"`  // None: the node takes only the releases that operators push.
	Services map[string]Service `json:"services,omitempty"` // By the name that leapd knows them by.

	// Secrets are the SHA-256, in hex, of the values that the node must hold,
	// by their names. The values come beside the document or are there already.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// Network is the node's place in the world.
type Network struct {
	Interfaces  []Interface             `json:"interfaces"`            // Required: one.
	Nameservers []netip.Addr            `json:"nameservers,omitempty"` // None: those that DHCP names.
	Hosts       map[string][]netip.Addr `json:"hosts,omitempty"`       // Names that need no name server, as in /etc/hosts.
}

// An Interface is one network card, known by its name or its hardware address.
type Interface struct {
	Name      string         `json:"name,omitempty"`      // As Linux names it, "eth0". This or MAC.
	MAC       string         `json:"mac,omitempty"`       // "52:54:00:12:34:56".
	DHCP      bool           `json:"dhcp,omitempty"`      // Ask for an IPv4 address, routes and name servers.
	Router    bool           `json:"router,omitempty"`    // Believe IPv6 router advertisements.
	Addresses []netip.Prefix `json:"addresses,omitempty"` // The node's own address with the length of the network's prefix.
	Gateways  []netip.Addr   `json:"gateways,omitempty"`  // Default routes: at most one of IPv4 and one of IPv6.
	MTU       int            `json:"mtu,omitempty"`       // Bytes. 0: the card's.
}

// Mesh is the node's place among the provider's nodes: a WireGuard network in
// which everyone knows everyone. The private key is made on the node.
type Mesh struct {
	Address netip.Prefix `json:"address"` // Of this node, with the length of the mesh's prefix. Required.
	Port    uint16       `json:"port"`    // UDP. Required.
	Peers   []Peer       `json:"peers,omitempty"`
}

// A Peer is another node of the mesh.
type Peer struct {
	Name      string         `json:"name"`                // Of the node. Required.
	PublicKey string         `json:"public_key"`          // WireGuard's, base64. Required.
	Address   netip.Addr     `json:"address"`             // In the mesh. Required.
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"`   // Where it listens. None: it calls us.
	Keepalive bool           `json:"keepalive,omitempty"` // One of the two is behind a translation of addresses.
}

// Agent is how operators reach the node.
type Agent struct {
	Port       uint16 `json:"port"`        // TCP, on every address. Required.
	OperatorCA string `json:"operator_ca"` // PEM: the authority of operators' certificates. Required.
	// Certificate, PEM, is the agent's own from now on, for the key of the
	// identity. Empty: the identity's.
	Certificate string `json:"certificate,omitempty"`
	// Operators are those who are let in, by the fingerprints of their
	// certificates' keys ([KeyFingerprint]), with their roles. None, as before the
	// first document: whoever has a certificate of the authority, with the role in
	// it.
	Operators map[string]string `json:"operators,omitempty"`
}

// Time is where the node learns what time it is.
type Time struct {
	Servers []string `json:"servers,omitempty"` // host or host:port of NTP. None: those that DHCP names, else the clock of the machine.
	Wait    Duration `json:"wait,omitempty"`    // How long services wait for it at start. 0: 30s.
}

// Gate is when a generation, or a new image, counts as good.
type Gate struct {
	Ready Duration `json:"ready,omitempty"` // Until all services must be healthy. 0: 2m.
	Watch Duration `json:"watch,omitempty"` // How long they must stay so without a restart. 0: 5m.
}

// A Service is one process of leapd under its own uid.
type Service struct {
	// Sections are its configuration, without the section "daemon", which the
	// node adds. Paths in it come from [StateDir], [FilePath], [SecretPath].
	Sections map[string]json.RawMessage `json:"sections"`

	Listeners []Listener        `json:"listeners,omitempty"` // All that it listens on beyond loopback: nothing else is let through.
	Files     map[string]string `json:"files,omitempty"`     // Texts without secrets, by their name at [FilePath].
	Secrets   map[string]string `json:"secrets,omitempty"`   // Names of Document.Secrets, by their name at [SecretPath].
	Memory    int64             `json:"memory,omitempty"`    // Bytes that its heap aims to stay below. 0: a share of the machine's.
	Clock     bool              `json:"clock,omitempty"`     // It starts only once the time is known, or [Time.Wait] is over.
	Net       bool              `json:"net,omitempty"`       // It manages network devices: the gateway.
}

// A Listener is one port.
type Listener struct {
	Protocol string `json:"protocol"` // "tcp" or "udp". Required.
	Port     uint16 `json:"port"`     // Required.
	From     string `json:"from"`     // "public", "mesh", or "tunnel": who uses a gateway. Required.
}

// Gateway reports whether one of the services manages network devices.
func (d Document) Gateway() bool {
	for _, s := range d.Services {
		if s.Net {
			return true
		}
	}
	return false
}

// Digest is what a document says, without its generation: SHA-256 in hex.
func (d Document) Digest() string {
	d.Generation = 0
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // Every type here can be written.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// A Duration is a time.Duration that is written like "1m30s".
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Or is d, or otherwise if d is 0.
func (d Duration) Or(otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}
