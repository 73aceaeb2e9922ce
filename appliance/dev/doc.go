// Package dev makes the files of a one-node provider for "leapd dev": its two
// certificate authorities, server certificates, service keys, database
// passwords and the documents that clients fetch. It is to a developer's
// machine what a compiled provider instance is to a node.
//
// Everything lies under one directory and is made when it is missing, so that
// a second start finds the same provider. Secrets are files of mode 0600 in
// directories of mode 0700. Nothing here is meant for the internet: all
// listeners are loopback ports counted from one base port, and the directory
// holds the CA keys beside everything else.
package dev

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Port offsets from the base port, by the last digits of the port that the
// service has on a node.
const (
	PortLease       = 10 // 443 of the first gateway, and so on.
	PortWireGuard   = 15 // 51821 of the first gateway, and so on. UDP.
	PortSoledad     = 23 // 2323
	PortMX          = 25
	PortAPI         = 30 // 4430
	PortWeb         = 43 // 443
	PortDNS         = 53
	PortNickserver  = 64 // 6425
	PortSubmissions = 65 // 465
	PortWKD         = 66 // 443 of openpgpkey.DOMAIN
	PortCouchMore   = 70 // Of the second database node, and so on.
	PortPeer        = 75 // Between database nodes: of the first, and so on.
	PortCouch       = 84 // 5984
	PortSubmission  = 87 // 587
	PortHealth      = 99
)

// An Account is an account of the database.
type Account struct {
	Name  string
	Roles []string // That open databases to it.
	Admin bool     // Opens every database, creates and destroys them.
}

// Accounts are the database accounts that a provider has, one for each
// service, with the roles that open databases to it (leap-protocols.md 5.1).
var Accounts = []Account{
	{Name: "admin", Admin: true},
	{Name: "tapicero", Admin: true},
	{Name: "webapp", Roles: []string{"users", "identities", "tokens"}},
	{Name: "ca"},
	{Name: "nickserver", Roles: []string{"identities", "keycache"}},
	{Name: "soledad", Roles: []string{"tokens"}},
	{Name: "leap_mx", Roles: []string{"identities"}},
	{Name: "relay", Roles: []string{"identities", "tokens"}},
	{Name: "agent"},
}

// Hosts are the names below the domain that DNS and the server certificate know.
var Hosts = []string{"", "api", "nicknym", "openpgpkey", "soledad", "mx", "smtp", "mta-sts", "ns"}

// A Provider is the provider under one directory.
type Provider struct {
	Dir    string
	Domain string
	Base   int // First port.
	Nodes  int // Database nodes. 0 or 1: the database is in the provider's own process.
	VPN    int // Gateways of the VPN. 0 or 1: there is one, in the provider's own process.
}

// Path returns the path of a file of the provider.
func (p Provider) Path(elem ...string) string {
	return filepath.Join(append([]string{p.Dir}, elem...)...)
}

// Addr returns the loopback address of a port offset.
func (p Provider) Addr(offset int) string { return fmt.Sprintf("127.0.0.1:%d", p.Base+offset) }

// URL returns the https URL of a host of the provider at a port offset.
func (p Provider) URL(host string, offset int) string {
	if host != "" {
		host += "."
	}
	return fmt.Sprintf("https://%s%s:%d", host, p.Domain, p.Base+offset)
}

// Endpoints say where a running provider listens. It is the file
// endpoints.json, for programs that start "leapd dev" and talk to it.
type Endpoints struct {
	Domain            string     `json:"domain"`
	Bootstrap         string     `json:"bootstrap"`   // What "leapc provider add" takes.
	Fingerprint       string     `json:"fingerprint"` // Of the CA.
	Invite            string     `json:"invite"`
	Resolver          string     `json:"resolver"` // host:port, DNS.
	Web               string     `json:"web"`
	Loopback          string     `json:"loopback"` // Web, for programs that do not ask the resolver.
	API               string     `json:"api"`
	Nickserver        string     `json:"nickserver"`
	WKD               string     `json:"wkd"`
	Soledad           string     `json:"soledad"`
	Couch             string     `json:"couch"`
	Databases         []Database `json:"databases,omitempty"` // Nodes of the database, if there are several.
	Gateways          []Gateway  `json:"gateways"`
	MX                string     `json:"mx"` // host:port, SMTP.
	Submission        string     `json:"submission"`
	Submissions       string     `json:"submissions"`
	Health            string     `json:"health"` // host:port, HTTP.
	CAFile            string     `json:"ca_file"`
	CouchPasswordFile string     `json:"couch_password_file"` // Of the account "admin".
}

// Endpoints returns where p listens once it runs.
func (p Provider) Endpoints() (Endpoints, error) {
	fp, err := p.fingerprint()
	if err != nil {
		return Endpoints{}, err
	}
	invite, err := os.ReadFile(p.Path("invite"))
	if err != nil {
		return Endpoints{}, err
	}
	return Endpoints{
		Domain:            p.Domain,
		Bootstrap:         fmt.Sprintf("%s:%d", p.Domain, p.Base+PortWeb),
		Fingerprint:       fp,
		Invite:            string(invite),
		Resolver:          p.Addr(PortDNS),
		Web:               p.URL("", PortWeb),
		Loopback:          "https://" + p.Addr(PortWeb),
		API:               p.URL("api", PortAPI),
		Nickserver:        p.URL("nicknym", PortNickserver),
		WKD:               p.URL("openpgpkey", PortWKD),
		Soledad:           p.URL("soledad", PortSoledad),
		Couch:             "http://" + p.Addr(PortCouch),
		Databases:         p.Databases(),
		Gateways:          p.Gateways(),
		MX:                p.Addr(PortMX),
		Submission:        p.Addr(PortSubmission),
		Submissions:       p.Addr(PortSubmissions),
		Health:            p.Addr(PortHealth),
		CAFile:            p.Path("ca", "ca.crt"),
		CouchPasswordFile: p.Path("passwords", "admin"),
	}, nil
}

// ReadEndpoints reads the endpoints of the provider under dir.
func ReadEndpoints(dir string) (Endpoints, error) {
	var e Endpoints
	data, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(data, &e)
}

// Free returns an error that names the first port of p that is taken.
func (p Provider) Free() error {
	offsets := []int{
		PortSoledad, PortMX, PortAPI, PortWeb, PortDNS, PortNickserver, PortSubmissions, PortWKD, PortCouch, PortSubmission, PortHealth,
	}
	for i := range p.Databases() {
		offsets = append(offsets, PortCouchMore+i, PortPeer+i)
	}
	for i := range p.Gateways() {
		offsets = append(offsets, PortLease+i, PortWireGuard+i)
	}
	for _, offset := range offsets {
		ln, err := net.Listen("tcp", p.Addr(offset))
		if err != nil {
			return fmt.Errorf("port %d is taken (is another \"leapd dev\" running?): choose another --base-port: %w", p.Base+offset, err)
		}
		ln.Close()
	}
	return nil
}
