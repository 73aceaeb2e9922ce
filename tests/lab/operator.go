// Package lab is what tests of whole nodes stand on: an operator with a provider
// instance, who does what the command leap does, and a cluster of the instance's
// nodes (package qemu/cluster) on which it is deployed.
package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

// An Operator has a provider instance. Whatever goes wrong fails the test.
type Operator struct {
	Dir    string // Of the instance.
	Access deploy.Access

	t    testing.TB
	keys string
}

// NewOperator makes a provider without nodes below dir. common is the text of
// common.json.
func NewOperator(t testing.TB, dir string, a provider.Answers, common string) *Operator {
	t.Helper()
	op := &Operator{Dir: filepath.Join(dir, "instance"), t: t, keys: filepath.Join(dir, "keys.json")}
	op.check(provider.New(op.Dir, a, op.keys, time.Now()))
	op.check(provider.Write(op.Dir, "common.json", []byte(common), 0o644))
	i, _ := op.Open()
	key, err := provider.ReadOperator(op.keys)
	op.check(err)
	op.Access.Roots = x509.NewCertPool()
	op.Access.Certificate, err = i.Certificate(key)
	op.check(err)
	if !op.Access.Roots.AppendCertsFromPEM(i.Files["ca/node_ca.crt"]) {
		t.Fatal("there is no authority of nodes")
	}
	return op
}

func (op *Operator) check(err error) {
	op.t.Helper()
	if err != nil {
		op.t.Fatal(err)
	}
}

// Open reads the instance, and its secrets.
func (op *Operator) Open() (*provider.Instance, *provider.Vault) {
	op.t.Helper()
	i, err := provider.Open(op.Dir)
	op.check(err)
	key, err := provider.ReadOperator(op.keys)
	op.check(err)
	v, err := i.Unlock(key)
	op.check(err)
	return i, v
}

// Secrets are all secrets of the instance.
func (op *Operator) Secrets() map[string][]byte {
	op.t.Helper()
	_, v := op.Open()
	secrets, err := v.All()
	op.check(err)
	return secrets
}

// Identity is the content of a node's identity disk.
func (op *Operator) Identity(name string) []byte {
	op.t.Helper()
	i, _ := op.Open()
	secrets := op.Secrets()
	id, err := compile.Identity(i, i.Node(name), secrets)
	op.check(err)
	content, err := compile.SignIdentity(id, secrets)
	op.check(err)
	return content
}

// AddNode adds a node, as "leap node add" does.
func (op *Operator) AddNode(name string, seeds ...string) {
	op.t.Helper()
	i, v := op.Open()
	_, err := i.AddNode(v, name, seeds, time.Now())
	op.check(err)
}

// Set changes what a file of the instance says.
func (op *Operator) Set(file, pointer string, value any) {
	op.t.Helper()
	op.check(provider.Set(op.Dir, file, provider.Member{Pointer: pointer, Value: value}))
}

// Client speaks to a node's agent.
func (op *Operator) Client(name string) *deploy.Client {
	op.t.Helper()
	i, _ := op.Open()
	return op.client(i, name)
}

func (op *Operator) client(i *provider.Instance, name string) *deploy.Client {
	n := i.Node(name)
	return op.Access.NewClient(net.JoinHostPort(n.IPAddress.String(), strconv.Itoa(int(i.Provider("").Agent.Port))), i.AgentName(n))
}

// SaveLogs asks an agent for what all services of its node wrote, also when the
// test is over.
func (op *Operator) SaveLogs(name, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(op.t.Context()), 30*time.Second)
	defer cancel()
	var text bytes.Buffer
	err := op.Client(name).Logs(ctx, "", 5000, false, func(line node.LogLine) error {
		_, err := fmt.Fprintf(&text, "%s %s: %s\n", line.Time.Format(time.RFC3339Nano), line.Service, line.Text)
		return err
	})
	return errors.Join(err, os.WriteFile(path, text.Bytes(), 0o600))
}

// Targets are nodes with what the instance says that they shall be.
func (op *Operator) Targets(names ...string) ([]deploy.Target, deploy.Options) {
	op.t.Helper()
	i, v := op.Open()
	_, err := v.Make(compile.Needs(i), time.Now())
	op.check(err)
	_, err = i.UpdateCerts(v, i.Nodes, false, time.Now())
	op.check(err)
	secrets, err := v.All()
	op.check(err)
	out, err := compile.Compile(i, secrets)
	op.check(err)
	signer, err := compile.Signer(secrets)
	op.check(err)
	var list []deploy.Target
	for _, name := range names {
		list = append(list, deploy.Target{Client: op.client(i, name), Document: out.Documents[name], Alone: i.Node(name).Has("bigcouch")})
	}
	return list, deploy.Options{
		Signer: signer, Secrets: out.Secrets, AtOnce: len(list),
		Told: func(name string, e node.Event) { op.t.Logf("           %s: %s", name, e.Text) },
	}
}

// Deploy gives nodes what the instance says, as "leap deploy" does.
func (op *Operator) Deploy(names ...string) []deploy.Result {
	op.t.Helper()
	targets, o := op.Targets(names...)
	return deploy.Push(op.t.Context(), targets, o)
}

// Web is how a browser sees the provider: its own authority is all it trusts.
func (op *Operator) Web() *tls.Config {
	op.t.Helper()
	i, _ := op.Open()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(i.Files["ca/ca.crt"]) {
		op.t.Fatal("the provider has no authority")
	}
	return &tls.Config{RootCAs: roots}
}
