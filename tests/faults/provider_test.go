package faults

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/provider"
	"leap.example/tests/lab"
)

const (
	domain   = "demo.example"
	nodeName = "n1"
	nodeIP   = "10.77.0.11"
	awayIP   = "10.77.0.99" // Where nobody looks for the node.
	labIP    = "10.77.0.1"
	silentIP = "10.77.0.2" // Nobody.
)

// An operator has a provider of one node.
type operator struct {
	*lab.Operator

	address string // Of the node's agent.
}

// newOperator makes a provider of one node, which runs everything, in a network
// without DHCP and with a time server that does not answer.
func newOperator(t *testing.T, dir string) *operator {
	t.Helper()
	op := &operator{Operator: lab.NewOperator(t, dir, provider.Answers{
		Domain: domain, Name: "Demonstration", Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, `{
	"gate": {"ready": "3m", "watch": "2s"},
	"dns": {"resolver": {"upstreams": ["`+labIP+`:53"], "dnssec": "off"}},
}`)}
	op.AddNode(nodeName,
		"services:couchdb,soledad,webapp,mx,dns", "ip_address:"+nodeIP, `time:{"servers":["`+silentIP+`"],"wait":"3s"}`,
		`network:{"interfaces":[{"name":"eth0","dhcp":true,"addresses":["`+nodeIP+`/24"],"gateways":["`+labIP+`"]}],"nameservers":["`+labIP+`"]}`)
	i, _ := op.Open()
	op.address = net.JoinHostPort(nodeIP, strconv.Itoa(int(i.Provider("").Agent.Port)))
	return op
}

// target is the node with what the instance says it shall be.
func (op *operator) target() (deploy.Target, deploy.Options) {
	targets, o := op.Targets(nodeName)
	return targets[0], o
}

// set changes what is said about the node.
func (op *operator) set(pointer string, value any) { op.Set("nodes/"+nodeName+".json", pointer, value) }

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
	i, v := op.Open()
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
	i, _ := op.Open()
	conf := &tls.Config{RootCAs: op.Access.Roots, ServerName: i.AgentName(i.Node(nodeName))}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{DialContext: op.Access.Dial, TLSClientConfig: conf, DisableKeepAlives: true}
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
