package firmware

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/services/dns"
	"leap.example/services/protocol/certs"
)

// The node, and the process of the test.
const (
	NodeName = "n1"
	LabIP    = "10.77.0.1"

	domain    = "demo.example"
	nodeIP    = "10.77.0.11"
	agentPort = 4430
)

// AgentAddress and AgentName are where the node's agent is, and its name.
var (
	AgentAddress = net.JoinHostPort(nodeIP, strconv.Itoa(agentPort))
	AgentName    = node.ServerName(NodeName, domain)
)

// An Operator has the keys of a provider with one node.
type Operator struct {
	signer ed25519.PrivateKey
	ca     string // PEM.
	caCert *x509.Certificate
	caKey  *ecdsa.PrivateKey
	Access deploy.Access
}

func newOperator(t *testing.T) *Operator {
	t.Helper()
	op := &Operator{}
	var err error
	_, op.signer, err = ed25519.GenerateKey(rand.Reader)
	check(t, err)
	op.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := certs.CA("test", domain, true, time.Now())
	der, err := certs.Create(template, template, op.caKey.Public(), op.caKey, rand.Reader)
	check(t, err)
	op.caCert, err = x509.ParseCertificate(der)
	check(t, err)
	op.ca = string(certs.EncodeCert(der))
	cert, key := op.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "ada", OrganizationalUnit: []string{node.RoleDeploy}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	op.Access = deploy.Access{Roots: x509.NewCertPool()}
	op.Access.Roots.AddCert(op.caCert)
	op.Access.Certificate, err = tls.X509KeyPair([]byte(cert), []byte(key))
	check(t, err)
	return op
}

// sign makes a key and a certificate of it, both PEM.
func (op *Operator) sign(t *testing.T, template *x509.Certificate) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, op.caCert, k.Public(), op.caKey)
	check(t, err)
	private, err := certs.EncodeKey(k)
	check(t, err)
	return string(certs.EncodeCert(der)), string(private)
}

func (op *Operator) network() node.Interface {
	return node.Interface{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix(nodeIP + "/24")}}
}

func (op *Operator) agent() node.Agent { return node.Agent{Port: agentPort, OperatorCA: op.ca} }

// identity is the content of the node's identity disk.
func (op *Operator) identity(t *testing.T) []byte {
	t.Helper()
	name := node.ServerName(NodeName, domain)
	cert, key := op.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	text, err := json.Marshal(node.Identity{
		Schema: node.Schema, Provider: domain, Node: NodeName, Signer: op.signer.Public().(ed25519.PublicKey),
		Interface: op.network(), Agent: op.agent(), Certificate: cert, Key: key,
	})
	check(t, err)
	content, err := node.IdentityDisk(node.Sign(op.signer, node.ForIdentity, text))
	check(t, err)
	return content
}

// Client speaks to the node's agent.
func (op *Operator) Client() *deploy.Client {
	return op.Access.NewClient(AgentAddress, AgentName)
}

// Deploy has the node run a resolver, which needs no other service, and judge by
// that within so long; init waits for the judgement as much longer as services
// may wait for the time, which this one does not. change changes the document before
// it goes; nil: nothing is to be changed.
func (op *Operator) Deploy(t *testing.T, ready, wait time.Duration, change func(*node.Document)) {
	t.Helper()
	section, err := json.Marshal(dns.Config{Resolver: dns.ConfigResolver{Listen: []string{"127.0.0.1:53"}}})
	check(t, err)
	d := node.Document{
		Schema: node.Schema, Provider: domain, Node: NodeName, Network: node.Network{Interfaces: []node.Interface{op.network()}}, Agent: op.agent(),
		Time: node.Time{Wait: node.Duration(wait)}, Gate: node.Gate{Ready: node.Duration(ready), Watch: node.Duration(time.Second)},
		Services: map[string]node.Service{"dns": {
			Sections:  map[string]json.RawMessage{"dns": section},
			Listeners: []node.Listener{{Protocol: "udp", Port: 53, From: "public"}, {Protocol: "tcp", Port: 53, From: "public"}},
		}},
	}
	if change != nil {
		change(&d)
	}
	r := deploy.Push(t.Context(), []deploy.Target{{Client: op.Client(), Document: d}}, deploy.Options{Signer: op.signer})[0]
	if r.Outcome != deploy.Good {
		t.Fatalf("%+v", r)
	}
}
