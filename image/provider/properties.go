package provider

import (
	"net/netip"

	"leap.example/appliance/node"
	"leap.example/services/bigcouch"
	"leap.example/services/ca"
	"leap.example/services/dns"
	"leap.example/services/gateway"
	"leap.example/services/mx"
	"leap.example/services/nickserver"
	"leap.example/services/protocol/provider"
	"leap.example/services/relay"
	"leap.example/services/soledad"
	"leap.example/services/tapicero"
	"leap.example/services/webapp"
)

// Provider is provider.json, with the variant of one environment.
type Provider struct {
	Domain           string            `json:"domain"`            // Mail domain. Required.
	Name             map[string]string `json:"name"`              // By language. Required: in the default language.
	Description      map[string]string `json:"description"`       // By language.
	Languages        []string          `json:"languages"`         // Default: those of Name.
	DefaultLanguage  string            `json:"default_language"`  // Default: "en".
	Contacts         []string          `json:"contacts"`          // Mail addresses of who runs it: gets postmaster's mail.
	EnrollmentPolicy string            `json:"enrollment_policy"` // "open", "invite" or "closed". Default: "invite".
	Service          provider.Service  `json:"service"`           // What users are offered. Default: one free level.

	Mesh  MeshNetwork `json:"mesh"`
	Agent AgentPort   `json:"agent"`
	DNS   Zone        `json:"dns"`
}

// MeshNetwork is the network that the nodes have among themselves.
type MeshNetwork struct {
	Network netip.Prefix `json:"network"` // Default: 10.99.0.0/16.
	Port    uint16       `json:"port"`    // UDP. Default: 51820.
}

// AgentPort is where nodes' agents listen.
type AgentPort struct {
	Port uint16 `json:"port"` // TCP. Default: 4499.
}

// Zone is what the provider's zone has beside what follows from the nodes.
type Zone struct {
	TTL         uint32             `json:"ttl"`          // Seconds. Default: 3600.
	DMARCPolicy string             `json:"dmarc_policy"` // none, quarantine or reject. Default: reject.
	DMARCReport string             `json:"dmarc_report"` // Address. Empty: no reports are wanted.
	TLSReport   string             `json:"tls_report"`   // The same, of RFC 8460.
	CAA         []string           `json:"caa"`          // Who may issue certificates. Empty: anybody.
	NameServers []string           `json:"name_servers"` // Of others, that serve the zone too.
	Records     []dns.ConfigRecord `json:"records"`      // More of them.
}

// Properties are what a node's layers say together.
type Properties struct {
	IPAddress   netip.Addr `json:"ip_address"`   // Where the world and the other nodes reach it. Required.
	IPv6Address netip.Addr `json:"ipv6_address"` // The same in IPv6. None: it has none.
	Environment string     `json:"environment"`  // Nodes of one environment know each other.
	Enabled     *bool      `json:"enabled"`      // Default: true. Others are no part of what is compiled.
	Services    []string   `json:"services"`     // Names of [Classic] or of leapd's services.
	Tags        []string   `json:"tags"`
	Contacts    []string   `json:"contacts"`
	Location    Location   `json:"location"`
	LeastImage  string     `json:"least_image"` // Oldest release that this is for.

	Network node.Network `json:"network"` // Default: eth0 by DHCP.
	Mesh    MeshNode     `json:"mesh"`
	Time    node.Time    `json:"time"`
	Gate    node.Gate    `json:"gate"`
	// Updates says whether and how the node comes to newer releases by itself.
	Updates Updates `json:"updates"`

	// Couchdb says where the database is.
	Couchdb Couchdb `json:"couchdb"`
	// VPN says how users reach the gateway on the node.
	VPN VPN `json:"vpn"`

	// Sections of services: what operators may choose. What follows from the
	// instance, leap compile fills in. Members that end in "_file" name a file
	// below files/.
	Bigcouch   bigcouch.Config   `json:"bigcouch"`
	CA         ca.Config         `json:"ca"`
	DNS        dns.Config        `json:"dns"`
	Gateway    gateway.Config    `json:"gateway"`
	MX         mx.Config         `json:"mx"`
	Nickserver nickserver.Config `json:"nickserver"`
	Relay      relay.Config      `json:"relay"`
	Soledad    soledad.Config    `json:"soledad"`
	Tapicero   tapicero.Config   `json:"tapicero"`
	Webapp     webapp.Config     `json:"webapp"`

	// Memory is what services' heaps aim to stay below, bytes, by leapd's name.
	Memory map[string]int64 `json:"memory"`
}

// Location is where a node stands.
type Location struct {
	Name        string  `json:"name"`         // Of a town.
	CountryCode string  `json:"country_code"` // Two letters, ISO 3166-1.
	Timezone    string  `json:"timezone"`     // Hours east of Greenwich: "+1", "-5".
	Hemisphere  string  `json:"hemisphere"`   // "N" or "S".
	Latitude    float64 `json:"lat"`          // Degrees north.
	Longitude   float64 `json:"lon"`          // Degrees east.
}

// MeshNode is a node's place in the mesh. "leap node add" and "leap node init"
// write it.
type MeshNode struct {
	Address   netip.Addr     `json:"address"`    // Never given to another node. Required if there are others.
	PublicKey string         `json:"public_key"` // WireGuard's, base64. The node makes the private one.
	Endpoint  netip.AddrPort `json:"endpoint"`   // If it is not ip_address and the mesh's port.
	Keepalive bool           `json:"keepalive"`  // It is behind a translation of addresses.
}

// Couchdb is the database.
type Couchdb struct {
	// External are URLs of nodes of an Apache CouchDB that somebody else runs.
	// None: the nodes with the service couchdb.
	External   []string `json:"external"`
	ExternalCA string   `json:"external_ca"` // File below files/ with the authority of its certificates, PEM. Empty: the world's.
	Shards     int      `json:"shards"`      // Default: 8. Fixed once there is data.
	Copies     int      `json:"copies"`      // Default: 3.
	Zone       string   `json:"zone"`        // Nodes of one zone may fail together. Default: the name of the location.
	// Heartbeat is how long a copy waits for its leader before another one is
	// elected: longer for nodes that are slow or far apart. Default: 1s.
	Heartbeat node.Duration `json:"heartbeat"`
}

// A User is an operator: users/NAME.json.
type User struct {
	Name        string `json:"-"`
	Role        string `json:"role"`        // [node.RoleDeploy] or [node.RoleRead]. Required.
	Recipient   string `json:"recipient"`   // age's, "age1…". Required of role deploy.
	Certificate string `json:"certificate"` // PEM: by which the agents know him. Required.
}

// Classic are the names of services that operators know, with leapd's services
// that come with each. The first one always runs; each other one unless some
// node of the environment lists it by its own name. A gateway also runs dns, which
// answers its users alone unless the node lists dns too.
var Classic = map[string][]string{
	"couchdb": {"bigcouch", "couchsetup"},
	"soledad": {"soledad", "tapicero"},
	"webapp":  {"webapp", "ca", "nickserver"},
	"mx":      {"mx", "relay"},
	"dns":     {"dns"},
	"gateway": {"gateway"},
}
