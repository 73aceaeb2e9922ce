package node

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

const (
	domain   = "demo.example"
	title    = "Demonstration"
	nodeName = "n1"
	nodeIP   = "10.77.0.11"
	labIP    = "10.77.0.1"
)

// An operator has a provider instance, and does what the command leap does.
type operator struct {
	dir, keys string
	access    deploy.Access
	address   string // Of the node's agent.
}

// newOperator makes a provider of one node, which runs everything.
func newOperator(t *testing.T, dir string) *operator {
	t.Helper()
	op := &operator{dir: filepath.Join(dir, "demo"), keys: filepath.Join(dir, "keys.json")}
	check(t, provider.New(op.dir, provider.Answers{
		Domain: domain, Name: title, Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, op.keys, time.Now()))
	check(t, provider.Write(op.dir, "common.json", []byte(`{
	"time": {"servers": ["`+labIP+`"]},
	"gate": {"ready": "3m", "watch": "3s"},
	"dns": {"resolver": {"upstreams": ["`+labIP+`:53"]}},
}`), 0o644))
	i, v := op.open(t)
	i, err := i.AddNode(v, nodeName, []string{
		"services:couchdb,soledad,webapp,mx,dns", "ip_address:" + nodeIP,
		`network:{"interfaces":[{"name":"eth0","addresses":["` + nodeIP + `/24"],"gateways":["` + labIP + `"]}],"nameservers":["` + labIP + `"]}`,
	}, time.Now())
	check(t, err)
	key, err := provider.ReadOperator(op.keys)
	check(t, err)
	op.access = deploy.Access{Roots: x509.NewCertPool()}
	op.access.Certificate, err = i.Certificate(key)
	check(t, err)
	if !op.access.Roots.AppendCertsFromPEM(i.Files["ca/node_ca.crt"]) {
		t.Fatal("there is no authority of nodes")
	}
	op.address = net.JoinHostPort(nodeIP, strconv.Itoa(int(i.Provider("").Agent.Port)))
	return op
}

// open reads the instance, and its secrets.
func (op *operator) open(t *testing.T) (*provider.Instance, *provider.Vault) {
	t.Helper()
	i, err := provider.Open(op.dir)
	check(t, err)
	key, err := provider.ReadOperator(op.keys)
	check(t, err)
	v, err := i.Unlock(key)
	check(t, err)
	return i, v
}

// identity is the content of the node's identity disk.
func (op *operator) identity(t *testing.T) []byte {
	t.Helper()
	i, v := op.open(t)
	secrets, err := v.All()
	check(t, err)
	id, err := compile.Identity(i, i.Node(nodeName), secrets)
	check(t, err)
	content, err := compile.SignIdentity(id, secrets)
	check(t, err)
	return content
}

// client speaks to the node's agent.
func (op *operator) client(t *testing.T) *deploy.Client {
	t.Helper()
	i, _ := op.open(t)
	return op.access.NewClient(op.address, i.AgentName(i.Node(nodeName)))
}

// target is the node with what the instance says it shall be.
func (op *operator) target(t *testing.T) (deploy.Target, deploy.Options) {
	t.Helper()
	i, v := op.open(t)
	_, err := v.Make(compile.Needs(i), time.Now())
	check(t, err)
	_, err = i.UpdateCerts(v, i.Nodes, false, time.Now())
	check(t, err)
	secrets, err := v.All()
	check(t, err)
	out, err := compile.Compile(i, secrets)
	check(t, err)
	signer, err := compile.Signer(secrets)
	check(t, err)
	return deploy.Target{Client: op.client(t), Document: out.Documents[nodeName], Alone: true}, deploy.Options{Signer: signer, Secrets: out.Secrets}
}

// set changes what is said about the node.
func (op *operator) set(t *testing.T, pointer string, value any) {
	t.Helper()
	check(t, provider.Set(op.dir, "nodes/"+nodeName+".json", provider.Member{Pointer: pointer, Value: value}))
}

// web is how a browser sees the provider: its own authority is all it trusts.
func (op *operator) web(t *testing.T) *tls.Config {
	t.Helper()
	i, _ := op.open(t)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(i.Files["ca/ca.crt"]) {
		t.Fatal("the provider has no authority")
	}
	return &tls.Config{RootCAs: roots, ServerName: domain}
}

// push deploys once, and tells the steps.
func push(t *testing.T, target deploy.Target, o deploy.Options) deploy.Result {
	t.Helper()
	o.Told = func(_ string, e node.Event) { t.Log("          ", e.Text) }
	return deploy.Push(t.Context(), []deploy.Target{target}, o)[0]
}
