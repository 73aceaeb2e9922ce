package compile

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"leap.example/appliance/node"
	"leap.example/image/provider"
)

// Ports of services.
const (
	portCouch       = 5984
	portPeer        = 5986 // Between database nodes.
	PortSoledad     = 2323
	PortMX          = 25
	PortAPI         = 4430
	PortWeb         = 443
	PortDNS         = 53
	PortNickserver  = 6425
	PortSubmissions = 465
	PortSubmission  = 587
)

// Output is what an instance means.
type Output struct {
	Documents map[string]node.Document // By node, without generations.
	Secrets   map[string][]byte        // Values of all secrets that documents name.
	Serials   map[string]provider.Serial
	Warnings  []string // What works, but probably not as it was meant.
}

// Compile returns the documents of all enabled nodes. secrets are the values of
// the instance's secrets. The error joins all that is wrong, with file and line.
func Compile(i *provider.Instance, secrets map[string][]byte) (_ *Output, err error) {
	c := &compiler{i: i, secrets: secrets, out: &Output{Documents: map[string]node.Document{}, Secrets: map[string][]byte{}, Serials: map[string]provider.Serial{}}}
	if c.operators, err = operators(i); err != nil {
		return nil, err
	}
	for _, env := range i.Environments() {
		if len(i.In(env, "")) > 0 {
			c.environment(env)
		}
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.out, nil
}

// ErrNoOperator is that nobody could ever change the nodes again.
var ErrNoOperator = errors.New("users/ has no operator with the role " + node.RoleDeploy + ": nobody could deploy to the nodes any more")

// operators are the roles of those whom the nodes let in.
func operators(i *provider.Instance) (map[string]string, error) {
	roles, deploy := map[string]string{}, false
	for _, u := range i.Users {
		print, err := node.Fingerprint(u.Certificate)
		if err != nil {
			return nil, fmt.Errorf("users/%s.json: %w", u.Name, err)
		}
		if _, twice := roles[print]; twice {
			return nil, fmt.Errorf("users/%s.json: another operator has the same key", u.Name)
		}
		roles[print] = u.Role
		deploy = deploy || u.Role == node.RoleDeploy
	}
	if !deploy {
		return nil, ErrNoOperator
	}
	return roles, nil
}

type compiler struct {
	i       *provider.Instance
	secrets map[string][]byte
	out     *Output
	errs    []error

	operators map[string]string // Roles by the fingerprint of the key.
}

func (c *compiler) warnf(format string, args ...any) {
	c.out.Warnings = append(c.out.Warnings, fmt.Sprintf(format, args...))
}

func (c *compiler) environment(env string) {
	c.checkEnvironment(env)
	z, err := ZoneOf(c.i, env, c.secrets)
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.out.Serials[z.Name] = serial(c.i, z)
	for _, n := range c.i.In(env, "") {
		one := &nodeCompiler{c: c, i: c.i, n: n, p: c.i.Provider(env), doc: c.document(n)}
		for _, service := range n.Runs {
			one.service(service)
		}
		one.updates()
		if one.sharedPorts() {
			continue
		}
		text, err := json.Marshal(one.doc)
		if err == nil {
			// What a node would refuse is found here.
			_, err = node.ParseDocument(text)
		}
		if err != nil {
			c.errs = append(c.errs, n.Errorf("", "the document would be refused: %v", err))
		}
		c.out.Documents[n.Name] = one.doc
	}
}

// checkEnvironment finds what makes no sense for the nodes together.
func (c *compiler) checkEnvironment(env string) {
	nodes := c.i.In(env, "")
	db := c.i.In(env, "bigcouch")
	for _, n := range nodes {
		if n.Mesh.PublicKey == "" && len(nodes) > 1 {
			c.warnf("%s has no key in the mesh yet, so that the other nodes do not talk to it: leap node init %s", n.Name, n.Name)
		}
		if a := db; len(a) > 0 && n.Has("bigcouch") && (n.Couchdb.Shards != a[0].Couchdb.Shards || n.Couchdb.Copies != a[0].Couchdb.Copies || n.Couchdb.Heartbeat != a[0].Couchdb.Heartbeat) {
			c.errs = append(c.errs, n.Errorf("/couchdb", "shards, copies and heartbeat are not those of %s: write them into services/couchdb.json", a[0].Name))
		}
		if (n.Has("mx") || n.Has("relay")) && resolver(c.i, n) == "" {
			c.warnf("%s: without a node with the service dns, mail is not checked and none goes to other providers", n.Name)
		}
		if n.Has("dns") && len(n.DNS.Resolver.Upstreams) == 0 {
			c.warnf("%s: the resolver knows the provider's own names alone: set dns.resolver.upstreams", n.Name)
		}
		if n.Has("gateway") {
			c.checkGateway(n)
		}
	}
	if len(db) == 2 || len(db) == 4 {
		c.warnf("%d database nodes bear no more losses than %d", len(db), len(db)-1)
	}
}

// document returns what is not about services.
func (c *compiler) document(n *provider.Node) node.Document {
	p := c.i.Provider(n.Environment)
	d := node.Document{
		Schema: node.Schema, Provider: p.Domain, Node: n.Name, Environment: n.Environment, LeastImage: n.LeastImage,
		Network: n.Network, Time: n.Time, Gate: n.Gate,
		Agent: node.Agent{
			Port: p.Agent.Port, OperatorCA: string(c.i.Files["ca/operator_ca.crt"]),
			Certificate: string(c.i.Files[provider.NodeFile(n.Name, "agent.crt")]), Operators: c.operators,
		},
		Services: map[string]node.Service{}, Secrets: map[string]string{},
	}
	if len(d.Network.Interfaces) == 0 {
		d.Network.Interfaces = Interfaces(n)
	}
	d.Network.Hosts = maps.Clone(d.Network.Hosts)
	if d.Network.Hosts == nil {
		d.Network.Hosts = map[string][]netip.Addr{}
	}
	d.Mesh = &node.Mesh{Address: netip.PrefixFrom(n.Mesh.Address, p.Mesh.Network.Bits()), Port: p.Mesh.Port}
	for _, other := range c.i.In(n.Environment, "") {
		d.Network.Hosts[c.i.AgentName(other)] = []netip.Addr{other.Mesh.Address}
		if other != n && other.Mesh.PublicKey != "" {
			d.Mesh.Peers = append(d.Mesh.Peers, peer(n, other, p.Mesh.Port))
		}
	}
	return d
}

// Interfaces are a node's network cards.
func Interfaces(n *provider.Node) []node.Interface {
	if len(n.Network.Interfaces) > 0 {
		return n.Network.Interfaces
	}
	return []node.Interface{{Name: "eth0", DHCP: true, Router: n.IPv6Address.IsValid()}}
}

// peer is how n finds other in the mesh.
func peer(n, other *provider.Node, port uint16) node.Peer {
	p := node.Peer{Name: other.Name, PublicKey: other.Mesh.PublicKey, Address: other.Mesh.Address, Keepalive: n.Mesh.Keepalive || other.Mesh.Keepalive}
	switch {
	case other.Mesh.Endpoint.IsValid():
		p.Endpoint = other.Mesh.Endpoint
	case !other.Mesh.Keepalive:
		p.Endpoint = netip.AddrPortFrom(other.IPAddress, port)
	}
	return p
}

// resolver is the DNS server that services on a node ask; "": there is none.
func resolver(i *provider.Instance, n *provider.Node) string {
	if n.Has("dns") {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), PortDNS).String()
	}
	if list := i.NameServers(n.Environment); len(list) > 0 {
		return netip.AddrPortFrom(list[0].Mesh.Address, PortDNS).String()
	}
	return ""
}

// Identity is what a node knows when it is born. secrets has to have the key of
// its agent's certificate.
func Identity(i *provider.Instance, n *provider.Node, secrets map[string][]byte) (node.Identity, error) {
	signer, err := Signer(secrets)
	if err != nil {
		return node.Identity{}, err
	}
	p := i.Provider(n.Environment)
	cert, key := i.Files[provider.NodeFile(n.Name, "agent.crt")], secrets[provider.NodeSecret(n.Name, "agent.key")]
	if len(cert) == 0 || len(key) == 0 {
		return node.Identity{}, n.Errorf("", "it has no certificate: run \"leap cert update %s\"", n.Name)
	}
	return node.Identity{
		Schema: node.Schema, Provider: p.Domain, Node: n.Name, Signer: signer.Public().(ed25519.PublicKey),
		Interface: Interfaces(n)[0], Agent: node.Agent{Port: p.Agent.Port, OperatorCA: string(i.Files["ca/operator_ca.crt"])},
		Certificate: string(cert), Key: string(key), Time: n.Time,
	}, nil
}

// SignIdentity returns the disk by which a node is born.
func SignIdentity(id node.Identity, secrets map[string][]byte) ([]byte, error) {
	key, err := Signer(secrets)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	if _, err := node.ParseIdentity(text); err != nil {
		return nil, err
	}
	return node.IdentityDisk(node.Sign(key, node.ForIdentity, text))
}

// Needs are the secrets that the instance's nodes have to have, beside those of
// their certificates.
func Needs(i *provider.Instance) (list []provider.Need) {
	for _, env := range i.Environments() {
		nodes := i.In(env, "")
		if len(nodes) == 0 {
			continue
		}
		for _, a := range accounts {
			list = append(list, provider.Need{Name: provider.Scoped(env, "password."+a.name), Kind: provider.Password})
		}
		for _, s := range shared {
			if len(i.In(env, s.service)) > 0 {
				list = append(list, provider.Need{Name: provider.Scoped(env, s.name), Kind: s.kind, For: "mx." + i.Domain(env)})
			}
		}
		for _, n := range i.In(env, "bigcouch") {
			list = append(list, provider.Need{Name: provider.NodeSecret(n.Name, "store.key"), Kind: provider.Hex32})
		}
		for _, n := range i.In(env, "gateway") {
			list = append(list, provider.Need{Name: provider.NodeSecret(n.Name, "gateway.key"), Kind: provider.WireGuard})
			if n.VPN.Private {
				list = append(list, provider.Need{Name: provider.NodeSecret(n.Name, "gateway.token"), Kind: provider.Password})
			}
		}
	}
	return slices.Clip(list)
}

// shared are the secrets that all nodes of an environment with a service share.
var shared = []struct {
	service, name string
	kind          provider.Kind
}{
	{"webapp", "webapp.secret", provider.Hex32},
	{"webapp", "monitor.token", provider.Password},
	{"mx", "mx.signing.key", provider.OpenPGP},
	{"mx", "mx.queue.secret", provider.Hex32},
	{"relay", "relay.queue.key", provider.Hex32},
	{"relay", "dkim-rsa.key", provider.RSA},
	{"relay", "dkim-ed25519.key", provider.Ed25519},
}
