package deploy_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/deploy/deploytest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := certs.CA("test", "demo.example", false, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return authority{cert, key}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a authority) sign(t *testing.T, tmpl *x509.Certificate) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := certs.Create(tmpl, a.cert, k.Public(), a.key, rand.Reader)
	check(t, err)
	key, err = certs.EncodeKey(k)
	check(t, err)
	return certs.EncodeCert(der), key
}

// A world is several agents and who looks after them.
type world struct {
	t                *testing.T
	nodes, operators authority
	signer           ed25519.PrivateKey
	agents           map[string]*deploytest.Agent
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t, newAuthority(t), newAuthority(t), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), map[string]*deploytest.Agent{}}
	for _, name := range names {
		tmpl, err := certs.Server([]string{node.ServerName(name, "demo.example")}, nil, time.Now())
		check(t, err)
		cert, key := w.nodes.sign(t, tmpl)
		a := &deploytest.Agent{Identity: node.Identity{
			Provider: "demo.example", Node: name, Signer: w.signer.Public().(ed25519.PublicKey), Certificate: string(cert), Key: string(key),
			Agent: node.Agent{Port: 4499, OperatorCA: string(certs.EncodeCert(w.operators.cert.Raw))},
		}}
		check(t, a.Start("127.0.0.1:0"))
		t.Cleanup(func() { check(t, a.Close()) })
		w.agents[name] = a
	}
	return w
}

// access is that of an operator with a role.
func (w *world) access(role string) deploy.Access {
	w.t.Helper()
	tmpl := certs.SMTPClient("alice", 24*time.Hour, time.Now())
	tmpl.Subject.OrganizationalUnit = []string{role}
	cert, key := w.operators.sign(w.t, tmpl)
	pair, err := tls.X509KeyPair(cert, key)
	check(w.t, err)
	roots := x509.NewCertPool()
	roots.AddCert(w.nodes.cert)
	return deploy.Access{Roots: roots, Certificate: pair}
}

func (w *world) client(name, role string) *deploy.Client {
	return w.access(role).NewClient(w.agents[name].Address(), node.ServerName(name, "demo.example"))
}

func (w *world) target(name string) deploy.Target {
	return deploy.Target{Client: w.client(name, node.RoleDeploy), Document: document(name)}
}

var values = map[string][]byte{"a": []byte("A"), "b": []byte("B")}

func document(name string) node.Document {
	return node.Document{
		Schema: node.Schema, Provider: "demo.example", Node: name,
		Network: node.Network{Interfaces: []node.Interface{{Name: "eth0", DHCP: true}}},
		Agent:   node.Agent{Port: 4499, OperatorCA: "-----BEGIN CERTIFICATE-----"},
		Secrets: map[string]string{"a": node.SecretDigest(values["a"]), "b": node.SecretDigest(values["b"])},
	}
}

func (w *world) push(o deploy.Options, targets ...deploy.Target) []deploy.Result {
	w.t.Helper()
	o.Signer, o.Secrets = w.signer, values
	return deploy.Push(w.t.Context(), targets, o)
}

// one pushes to one node and returns what became of it.
func (w *world) one(t deploy.Target, outcome string, number uint64) deploy.Result {
	w.t.Helper()
	r := w.push(deploy.Options{}, t)[0]
	if r.Outcome != outcome || r.Generation.Number != number {
		w.t.Errorf("got %+v, want %s and generation %d", r, outcome, number)
	}
	return r
}

func TestPush(t *testing.T) {
	w := newWorld(t, "a")
	target := w.target("a")
	if r := w.push(deploy.Options{DryRun: true}, target)[0]; r.Outcome != deploy.Would || len(w.agents["a"].Applied()) > 0 {
		t.Errorf("dry run: %+v", r)
	}
	w.one(target, deploy.Good, 1)
	w.one(target, deploy.Unchanged, 1)
	if r := w.push(deploy.Options{DryRun: true}, target)[0]; r.Outcome != deploy.Unchanged {
		t.Errorf("dry run: %+v", r)
	}
	target.Document.Services = map[string]node.Service{"mx": {}}
	w.one(target, deploy.Good, 2)
	w.agents["a"].End("mx")
	w.one(target, deploy.Unchanged, 2)
	if s, err := target.Client.Status(t.Context()); err != nil || !s.Services["mx"].Running {
		t.Errorf("after the same document it says %+v, %v", s, err)
	}
	if got := w.agents["a"].Pushed(); !slices.Equal(got, []int{2, 0, 0}) {
		t.Errorf("secrets pushed: %v, want both once", got)
	}
	w.agents["a"].Judge(func(node.Document) string { return "mx does not get healthy" })
	target.Document.Environment = "other"
	if r := w.one(target, deploy.Bad, 4); r.Error != "mx does not get healthy" || r.OK() {
		t.Errorf("got %+v", r)
	}
	w.agents["a"].Judge(nil)
	w.one(target, deploy.Good, 5) // Above the bad one.
}

func TestRefused(t *testing.T) {
	w := newWorld(t, "a", "b")
	for name, tt := range map[string]struct {
		target deploy.Target
		signer ed25519.PrivateKey
		want   string
	}{
		"another signer": {w.target("a"), ed25519.NewKeyFromSeed(make([]byte, 32)), "the signature is not the provider's"},
		"may only look":  {deploy.Target{Client: w.client("a", node.RoleRead), Document: document("a")}, w.signer, `this certificate has the role ["read-only"]`},
		"another node":   {deploy.Target{Client: w.access(node.RoleDeploy).NewClient(w.agents["b"].Address(), node.ServerName("a", "demo.example")), Document: document("a")}, w.signer, "certificate is valid for b.node.demo.example, not a.node.demo.example"},
		"nobody there":   {deploy.Target{Client: w.access(node.RoleDeploy).NewClient("127.0.0.1:1", "x"), Document: document("a")}, w.signer, "no answer from the agent at 127.0.0.1:1"},
		"bad document": {func() deploy.Target {
			t := w.target("a")
			t.Document.Agent.Port = 0
			return t
		}(), w.signer, "/agent/port: a port is required"},
		"other secret": {func() deploy.Target {
			t := w.target("a")
			t.Document.Secrets["a"] = node.SecretDigest([]byte("new"))
			return t
		}(), w.signer, "the secret a is not the one"},
	} {
		r := deploy.Push(t.Context(), []deploy.Target{tt.target}, deploy.Options{Signer: tt.signer, Secrets: values})[0]
		if r.Outcome != deploy.Failed || !strings.Contains(r.Error, tt.want) {
			t.Errorf("%s: got %+v, want %s", name, r, tt.want)
		}
	}
	stranger := w.access(node.RoleDeploy)
	cert, key := newAuthority(t).sign(t, certs.SMTPClient("eve", time.Hour, time.Now()))
	pair, err := tls.X509KeyPair(cert, key)
	check(t, err)
	stranger.Certificate = pair
	_, err = stranger.NewClient(w.agents["a"].Address(), node.ServerName("a", "demo.example")).Status(t.Context())
	if !errors.Is(err, problem.Unavailable) {
		t.Errorf("a stranger: %v", err)
	}
}

// TestNetworkChanges: an agent that waits for a new connection gets one, and a
// connection that breaks does not hide the verdict.
func TestNetworkChanges(t *testing.T) {
	w := newWorld(t, "a")
	a := w.agents["a"]
	a.Contact = true
	w.one(w.target("a"), deploy.Good, 1)
	a.Contact, a.Break = false, true
	target := w.target("a")
	target.Document.Environment = "test"
	w.one(target, deploy.Good, 2)
	target.Next = w.access(node.RoleDeploy).NewClient("127.0.0.1:1", "x")
	target.Document.Environment = "other"
	a.Judge(func(node.Document) string { return "no" })
	if r := w.one(target, deploy.Bad, 3); r.Error != "no" {
		t.Errorf("got %+v", r)
	}
	a.Break, a.Silent = false, true
	a.Judge(nil)
	target.Document.Environment = "another"
	w.one(target, deploy.Good, 4)
}

// TestAlone: nodes that are to change alone do once they have worked, and after
// one that went back no other one changes.
func TestAlone(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	w := newWorld(t, names...)
	var at, most atomic.Int64
	judge := func(verdict string) func(node.Document) string {
		return func(node.Document) string {
			now := at.Add(1)
			defer at.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			time.Sleep(20 * time.Millisecond) // As long as something takes that could overlap.
			return verdict
		}
	}
	targets := func(env string) (list []deploy.Target) {
		for _, n := range names {
			target := w.target(n)
			target.Alone, target.Document.Environment = true, env
			list = append(list, target)
		}
		return list
	}
	for _, a := range w.agents {
		a.Judge(judge(""))
	}
	for _, r := range w.push(deploy.Options{AtOnce: 4}, targets("")...) {
		if r.Outcome != deploy.Good {
			t.Errorf("got %+v", r)
		}
	}
	most.Store(0)
	for _, a := range w.agents {
		a.Judge(judge("it does not work"))
	}
	count := map[string]int{}
	for _, r := range w.push(deploy.Options{AtOnce: 4}, targets("test")...) {
		count[r.Outcome]++
	}
	if count[deploy.Bad] != 1 || count[deploy.Skipped] != 3 || most.Load() != 1 {
		t.Errorf("got %v, %d at once", count, most.Load())
	}
}

// TestWaiting: nodes that wait to be alone keep no others from changing.
func TestWaiting(t *testing.T) {
	names := []string{"a", "b", "d", "e", "c", "f", "g", "h", "i"}
	w := newWorld(t, names...)
	targets := func(env string) (list []deploy.Target) {
		for _, n := range names {
			target := w.target(n)
			target.Alone, target.Document.Environment = n != "c", env
			list = append(list, target)
		}
		return list
	}
	w.push(deploy.Options{}, targets("")...)
	list := targets("test")
	changed := make(chan struct{})
	w.agents["c"].Judge(func(node.Document) string { close(changed); return "" })
	for _, n := range slices.DeleteFunc(names, func(n string) bool { return n == "c" }) {
		w.agents[n].Judge(func(node.Document) string {
			select {
			case <-changed:
				return ""
			case <-time.After(10 * time.Second):
				return "c has to wait"
			}
		})
	}
	for _, r := range w.push(deploy.Options{AtOnce: 2}, list...) {
		if r.Outcome != deploy.Good {
			t.Errorf("got %+v", r)
		}
	}
}

func TestLogs(t *testing.T) {
	w := newWorld(t, "a")
	w.agents["a"].Lines = []node.LogLine{{Service: "mx", Text: "one"}, {Service: "dns", Text: "two"}}
	c := w.client("a", node.RoleRead)
	var got []string
	check(t, c.Logs(t.Context(), "mx", 10, false, func(l node.LogLine) error {
		got = append(got, l.Text)
		return nil
	}))
	if !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %v", got)
	}
	if err := c.Reboot(t.Context()); !errors.Is(err, problem.Permission) {
		t.Errorf("who may only look restarts it: %v", err)
	}
	check(t, w.client("a", node.RoleDeploy).Reboot(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); err == nil {
		t.Error("a status after the end")
	}
}
