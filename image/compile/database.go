package compile

import (
	"net/netip"
	"time"

	"leap.example/image/provider"
	"leap.example/services/bigcouch"
	"leap.example/services/couch"
	"leap.example/services/tapicero"
)

// An account is one of the database.
type account struct {
	name  string
	roles []string // That open databases to it.
	admin bool     // Opens every database.
}

// accounts are the database's, one for each service (leap-protocols.md 5.1).
var accounts = []account{
	{name: "admin", admin: true},
	{name: "tapicero", admin: true},
	{name: "webapp", roles: []string{"users", "identities", "tokens"}},
	{name: "ca"},
	{name: "nickserver", roles: []string{"identities", "keycache"}},
	{name: "soledad", roles: []string{"tokens"}},
	{name: "leap_mx", roles: []string{"identities"}},
	{name: "relay", roles: []string{"identities", "tokens"}},
	{name: agentAccount},
}

const (
	defaultShards = 8
	defaultCopies = 3
)

// couch writes how the service reaches the database.
func (s *serviceCompiler) couch(account string) {
	made := s.database(account)
	if len(made.URLs) == 0 {
		s.failf("/services", "%s needs a database, and no node of this environment has the service couchdb", s.name)
		return
	}
	made.PasswordFile = s.scoped("couch.password", "password."+account)
	s.section("couch", &couch.Config{}, made)
}

// externalCA is the name of the file with the authority of a database of others.
const externalCA = "couch_ca.crt"

// database is where the database is and how an account is known there, but for its
// password. Without URLs there is none.
func (s *serviceCompiler) database(account string) couch.Config {
	made := couch.Config{User: account}
	if db := s.n.Couchdb; len(db.External) > 0 {
		made.URLs, made.External, made.Resolver = db.External, true, resolver(s.i, s.n)
		made.Q, made.N = db.Shards, db.Copies
		if db.ExternalCA != "" {
			made.CAFile = s.own("/couchdb/external_ca", externalCA, db.ExternalCA)
		}
	} else {
		made.URLs = s.meshURLs("bigcouch", portCouch)
	}
	return made
}

func couchsetupService(s *serviceCompiler) { s.couch("admin") }

func tapiceroService(s *serviceCompiler) {
	chosen := s.n.Tapicero
	s.section("tapicero", &chosen, tapicero.Config{})
	s.couch("tapicero")
}

func bigcouchService(s *serviceCompiler) {
	made := bigcouch.Config{
		Listen: s.mesh(portCouch, "tcp"), Dir: s.state("store"),
		KeyFiles: []string{s.secret("store.key", provider.NodeSecret(s.n.Name, "store.key"))},
		Resolver: resolver(s.i, s.n),
	}
	for _, a := range accounts {
		made.Accounts = append(made.Accounts, bigcouch.ConfigAccount{
			Name: a.name, PasswordFile: s.scoped("password."+a.name, "password."+a.name), Roles: a.roles, Admin: a.admin,
		})
	}
	if nodes := s.i.In(s.n.Environment, "bigcouch"); len(nodes) > 1 {
		made.Cluster = s.cluster(nodes)
	}
	chosen := s.n.Bigcouch
	// Operators may have accounts of their own.
	made.Accounts = append(made.Accounts, chosen.Accounts...)
	chosen.Accounts = nil
	s.section("bigcouch", &chosen, made)
}

// cluster is the database on several nodes.
func (s *serviceCompiler) cluster(nodes []*provider.Node) *bigcouch.ConfigCluster {
	file := provider.NodeFile(s.n.Name, "peer.crt")
	c := &bigcouch.ConfigCluster{
		Node: s.n.Name, Listen: s.mesh(portPeer, "tcp"),
		CertFile: s.own("/services", "peer.crt", file), KeyFile: s.secret("peer.key", provider.NodeSecret(s.n.Name, "peer.key")),
		CAFile: s.own("/services", "peer_ca.crt", "ca/peer_ca.crt"),
	}
	if h := s.n.Couchdb.Heartbeat; h != 0 {
		c.Heartbeat = time.Duration(h).String()
	}
	for _, n := range nodes {
		zone := n.Couchdb.Zone
		if zone == "" {
			zone = n.Location.Name
		}
		c.Nodes = append(c.Nodes, bigcouch.ConfigNode{Name: n.Name, Peer: netip.AddrPortFrom(n.Mesh.Address, portPeer).String(), Zone: zone})
	}
	shards, copies := s.n.Couchdb.Shards, s.n.Couchdb.Copies
	if shards == 0 {
		shards = defaultShards
	}
	if copies == 0 {
		copies = defaultCopies
	}
	c.Placement = bigcouch.ConfigPlacement(c.Nodes, shards, copies)
	return c
}
