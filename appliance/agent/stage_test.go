package agent_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/agent"
	"leap.example/appliance/keystore"
	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/appliance/update"
	"leap.example/services/daemon"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := certs.CA("test", "demo.example", true, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return authority{cert, key}
}

func (a authority) pem() string { return string(certs.EncodeCert(a.cert.Raw)) }

// sign makes a certificate with a key, as PEM.
func (a authority) sign(t testing.TB, tmpl *x509.Certificate) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, k.Public(), a.key)
	check(t, err)
	pem, err := certs.EncodeKey(k)
	check(t, err)
	return string(certs.EncodeCert(der)), string(pem)
}

// renewed is a new certificate for the key of the node's identity, PEM.
func (w *world) renewed(t testing.TB, name string) string {
	t.Helper()
	key, err := certs.ParseKey([]byte(w.id.Key))
	check(t, err)
	tmpl, err := certs.Server([]string{name}, nil, time.Now())
	check(t, err)
	der, err := certs.Create(tmpl, w.nodes.cert, key.Public(), w.nodes.key, rand.Reader)
	check(t, err)
	return string(certs.EncodeCert(der))
}

// operator returns a client certificate with a role.
func (a authority) operator(t testing.TB, role string, until time.Time) *tls.Certificate {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "ada", OrganizationalUnit: []string{role}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	check(t, err)
	return &pair
}

// A part of the configuration that test services read.
type part struct {
	Ill   string `json:"ill,omitempty"`
	Crash bool   `json:"crash,omitempty"`
	Says  string `json:"says,omitempty"` // What it writes to its log.
}

// supervisor runs services in this process: each serves its health socket, and
// is as ill as its configuration says.
type supervisor struct {
	dir string

	mu     sync.Mutex
	run    map[string]*running
	starts []string // Names, in order.
	ill    string   // Why all services are ill that are started from now on.
	ends   int      // How often the machine was to be restarted.
	stuck  error    // Why it is not.
}

type running struct {
	stop  func()
	since time.Time
	part
	asked int
	over  bool // It has ended for good, and is not started again by itself.
}

type service struct{ part }

func (s service) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s service) Check(context.Context) error {
	if s.Ill != "" {
		return errors.New(s.Ill)
	}
	return nil
}

func (s *supervisor) Start(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.run[name]; r != nil && !r.over {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(s.dir, name, "config.json"))
	if err != nil {
		return err
	}
	var cfg struct {
		Daemon daemon.Settings `json:"daemon"`
		Part   part            `json:"part"`
	}
	if err := json.Unmarshal(text, &cfg); err != nil {
		return err
	}
	if s.ill != "" {
		cfg.Part.Ill = s.ill
	}
	g := daemon.Group{Log: slog.New(slog.DiscardHandler)}
	g.Add(name, service{cfg.Part})
	g.AddHealth(cfg.Daemon.Listen)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	s.run[name] = &running{stop: sync.OnceFunc(func() { cancel(); <-done }), since: time.Now(), part: cfg.Part}
	s.starts = append(s.starts, name)
	return nil
}

func (s *supervisor) Stop(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.run[name]; r != nil {
		r.stop()
		delete(s.run, name)
	}
	return nil
}

// end has a service end for good.
func (s *supervisor) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run[name].stop()
	s.run[name].over = true
}

func (s *supervisor) Restart(ctx context.Context, name string) error {
	return errors.Join(s.Stop(ctx, name), s.Start(ctx, name))
}

func (s *supervisor) List(context.Context) (map[string]node.ServiceStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]node.ServiceStatus{}
	for name, r := range s.run {
		r.asked++
		one := node.ServiceStatus{Running: true, PID: 1, Since: r.since}
		if r.over {
			one = node.ServiceStatus{Error: "status 125"}
		}
		if r.Crash {
			one.Restarts, one.Error = r.asked, "status 2"
		}
		all[name] = one
	}
	return all, nil
}

func (s *supervisor) Logs(_ context.Context, service string, lines int, follow bool, f func(node.LogLine) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.run[service]; r != nil && r.Says != "" {
		return f(node.LogLine{Time: time.Now(), Service: service, Text: r.Says})
	}
	return f(node.LogLine{Service: service, Text: fmt.Sprint(lines, follow)})
}

func (s *supervisor) Reboot(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck != nil {
		return s.stuck
	}
	s.ends++
	return nil
}

// stick has the machine not restart; nil: it does.
func (s *supervisor) stick(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = err
}

// heal has services be well that are started from now on, and ends all others.
func (s *supervisor) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ill = ""
	for name, r := range s.run {
		r.stop()
		delete(s.run, name)
	}
}

// restarts is how often the machine was to be restarted.
func (s *supervisor) restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends
}

// started returns which services were started since it was asked last.
func (s *supervisor) started() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.starts
	s.starts = nil
	return all
}

// A world is a node that lives in a directory, and its operators.
type world struct {
	t         *testing.T
	dir       string
	run       string // Short, for sockets.
	signer    ed25519.PrivateKey
	nodes     authority
	operators authority
	id        node.Identity
	sup       *supervisor

	mu       sync.Mutex
	networks []node.Network // As they were applied.

	release      string
	boot         node.Boot
	own          bool // Files are the services' users'.
	clockUnknown atomic.Bool
	told         atomic.Bool  // The clock was set for an operator.
	free         atomic.Int64 // Of the 100 MiB of its disk.
	releases     *slots.Slots // Nil: the machine was started without a boot loader.
	ill          string       // Of the supervisor.
	update       *update.Config

	addr string
	stop func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), nodes: newAuthority(t), operators: newAuthority(t)}
	w.boot.Perm, w.release = true, "1.2.0"
	w.free.Store(50 << 20)
	run, err := os.MkdirTemp("", "run")
	check(t, err)
	w.run = run
	t.Cleanup(func() { os.RemoveAll(run) })
	cert, key := w.nodes.sign(t, &x509.Certificate{
		DNSNames: []string{node.ServerName("mail1", "demo.example")}, NotBefore: time.Now().Add(-time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	w.id = node.Identity{
		Schema: node.Schema, Provider: "demo.example", Node: "mail1", Signer: w.signer.Public().(ed25519.PublicKey),
		Interface: node.Interface{Name: "eth0", DHCP: true}, Agent: node.Agent{Port: 4499, OperatorCA: w.operators.pem()},
		Certificate: cert, Key: key,
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// start runs the agent, as after a start of the machine: memory is empty.
func (w *world) start() {
	w.t.Helper()
	check(w.t, os.RemoveAll(w.run))
	w.sup = &supervisor{dir: w.run, run: map[string]*running{}, ill: w.ill}
	keys, err := keystore.Open(filepath.Join(w.dir, "keys"))
	check(w.t, err)
	a := agent.New(agent.Config{
		Identity: w.id, Release: w.release, Dir: filepath.Join(w.dir, "node"), RunDir: w.run, StateDir: filepath.Join(w.dir, "state"),
		Boot: w.boot, Own: w.own, Releases: w.releases, Update: w.update,
		Mirror: &mirror.Config{Dir: filepath.Join(w.dir, "mirror")},
	}, keys, agent.Parts{
		Firewall: func(context.Context, node.Document) error { return nil },
		Network: func(_ context.Context, n node.Network) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.networks = append(w.networks, n)
			if len(n.Interfaces) > 0 && n.Interfaces[0].Name == "broken" {
				return errors.New("there is no such card")
			}
			return nil
		},
		Mesh: func(context.Context, *node.Mesh, []byte) error { return nil },
		Tunnel: func(_ context.Context, d node.Document) error {
			if d.Gateway() {
				return errors.New("the kernel forwards nothing")
			}
			return nil
		},
		Clock: func(context.Context, node.Time, time.Duration) error { return nil },
		ClockState: func() node.Clock {
			return node.Clock{Now: time.Now(), Known: !w.clockUnknown.Load(), Told: w.told.Load()}
		},
		ClockSet: func(context.Context) error {
			if w.clockUnknown.Load() {
				return errors.New("no time server answers")
			}
			w.told.Store(true)
			return nil
		},
		NetworkTrouble: func() []string { return nil },
		Supervisor:     w.sup,
		Disk:           func() node.Disk { return node.Disk{Size: 100 << 20, Free: w.free.Load()} },
		Check: func(_ string, config []byte) error {
			if bytes.Contains(config, []byte("nonsense")) {
				return errors.New("nonsense in the configuration")
			}
			return nil
		},
		MeshKey:    func() ([]byte, error) { return []byte("private"), nil },
		MeshPublic: func(private []byte) (string, error) { return "public of " + string(private), nil },
	}, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() { done <- a.Serve(ctx, ln) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				w.t.Error(err)
			}
		}
		all, _ := w.sup.List(context.Background())
		for name := range all {
			_ = w.sup.Stop(context.Background(), name)
		}
	})
}

// ask sends a request over a new connection, with a certificate if there is one.
func (w *world) ask(cert *tls.Certificate, method, path string, body any) (*http.Response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return w.send(cert, method, path, text)
}

// send is ask with a body as it is, and names and values of headers.
func (w *world) send(cert *tls.Certificate, method, path string, text []byte, header ...string) (*http.Response, error) {
	roots := x509.NewCertPool()
	roots.AddCert(w.nodes.cert)
	conf := &tls.Config{RootCAs: roots, ServerName: node.ServerName("mail1", "demo.example")}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "https://"+w.addr+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for k := 0; k < len(header); k += 2 {
		req.Header.Set(header[k], header[k+1])
	}
	if len(text) > 0 { // As operators' client does: what is refused is not sent, and so the answer is read.
		req.Header.Set("Expect", "100-continue")
	}
	return (&http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: conf, DisableKeepAlives: true, ExpectContinueTimeout: 30 * time.Second,
	}}).Do(req)
}

func (w *world) deployer() *tls.Certificate {
	return w.operators.operator(w.t, node.RoleDeploy, time.Now().Add(time.Hour))
}

// status returns what the node says of itself to somebody who may only look.
func (w *world) status() node.Status {
	w.t.Helper()
	resp, err := w.ask(w.operators.operator(w.t, node.RoleRead, time.Now().Add(time.Hour)), http.MethodGet, node.PathStatus, nil)
	check(w.t, err)
	defer resp.Body.Close()
	var s node.Status
	check(w.t, json.NewDecoder(resp.Body).Decode(&s))
	return s
}

// document is one with a service that is as ill as it is said, of which nothing
// is waited for long.
func (w *world) document(generation uint64, services map[string]part) node.Document {
	d := node.Document{
		Schema: node.Schema, Provider: "demo.example", Node: "mail1", Generation: generation,
		Network: node.Network{Interfaces: []node.Interface{w.id.Interface}}, Agent: w.id.Agent,
		Gate:     node.Gate{Ready: node.Duration(2 * time.Second), Watch: node.Duration(400 * time.Millisecond)},
		Services: map[string]node.Service{},
	}
	for name, p := range services {
		text, err := json.Marshal(p)
		check(w.t, err)
		d.Services[name] = node.Service{Sections: map[string]json.RawMessage{"part": text}}
	}
	return d
}

func (w *world) bundle(d node.Document, secrets map[string][]byte) node.Bundle {
	text, err := json.Marshal(d)
	check(w.t, err)
	return node.Bundle{Document: node.Sign(w.signer, node.ForDocument, text), Secrets: secrets}
}

// apply pushes a bundle and returns the verdict, or the error with which it was
// refused.
func (w *world) apply(b node.Bundle) (verdict node.Generation, said []node.Event, err error) {
	w.t.Helper()
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathApply, b)
	check(w.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		check(w.t, err)
		return verdict, nil, problem.Parse(resp.StatusCode, body)
	}
	d := json.NewDecoder(resp.Body)
	for {
		var e node.Event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			w.t.Fatalf("there was no verdict: %+v", said)
		} else if err != nil {
			w.t.Fatal(err)
		}
		said = append(said, e)
		if e.Verdict != nil {
			return *e.Verdict, said, nil
		}
		if e.Error != "" {
			return verdict, said, errors.New(e.Error)
		}
	}
}
