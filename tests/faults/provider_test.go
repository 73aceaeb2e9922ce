package faults

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
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
	nodeName = "n1"
	nodeIP   = "10.77.0.11"
	awayIP   = "10.77.0.99" // Where nobody looks for the node.
	labIP    = "10.77.0.1"
	silentIP = "10.77.0.2" // Nobody.
)

// An operator has a provider instance, and does what the command leap does.
type operator struct {
	dir, keys string
	access    deploy.Access
	address   string // Of the node's agent.
}

// newOperator makes a provider of one node, which runs everything, in a network
// without DHCP and with a time server that does not answer.
func newOperator(t *testing.T, dir string) *operator {
	t.Helper()
	op := &operator{dir: filepath.Join(dir, "demo"), keys: filepath.Join(dir, "keys.json")}
	check(t, provider.New(op.dir, provider.Answers{
		Domain: domain, Name: "Demonstration", Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, op.keys, time.Now()))
	check(t, provider.Write(op.dir, "common.json", []byte(`{
	"gate": {"ready": "3m", "watch": "2s"},
	"dns": {"resolver": {"upstreams": ["`+labIP+`:53"]}},
}`), 0o644))
	i, v := op.open(t)
	i, err := i.AddNode(v, nodeName, []string{
		"services:couchdb,soledad,webapp,mx,dns", "ip_address:" + nodeIP, `time:{"servers":["` + silentIP + `"],"wait":"3s"}`,
		`network:{"interfaces":[{"name":"eth0","dhcp":true,"addresses":["` + nodeIP + `/24"],"gateways":["` + labIP + `"]}],"nameservers":["` + labIP + `"]}`,
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

// push deploys once, and returns what was told.
func push(t *testing.T, target deploy.Target, o deploy.Options) (r deploy.Result, told string) {
	t.Helper()
	o.Told = func(_ string, e node.Event) {
		t.Log("          ", e.Text)
		told += e.Text + "\n"
	}
	return deploy.Push(t.Context(), []deploy.Target{target}, o)[0], told
}

// newUser makes one more operator, and returns his certificate.
func (op *operator) newUser(t *testing.T, name, role string, when time.Time) *tls.Certificate {
	t.Helper()
	i, v := op.open(t)
	user, err := provider.NewOperator(domain, name)
	check(t, err)
	request, err := user.Request()
	check(t, err)
	_, err = i.AddUser(v, request, role, when)
	check(t, err)
	pair, err := i.Certificate(user)
	check(t, err)
	return &pair
}

// ask asks the agent by hand, and returns its answer or why there is none.
func (op *operator) ask(t *testing.T, cert *tls.Certificate, method, path string, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	check(t, err)
	i, _ := op.open(t)
	conf := &tls.Config{RootCAs: op.access.Roots, ServerName: i.AgentName(i.Node(nodeName))}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{DialContext: op.access.Dial, TLSClientConfig: conf, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+op.address+path, bytes.NewReader(text))
	check(t, err)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	answer, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.Status + " " + string(answer)
}
