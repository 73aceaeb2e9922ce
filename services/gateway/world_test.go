package gateway_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB, client bool) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := certs.CA("Example", "example.org", client, time.Now())
	return authority{sign(t, tmpl, tmpl, key, key), key}
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := certs.Create(tmpl, parent, key.Public(), signer, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue signs a template for a new key.
func (a authority) issue(t testing.TB, tmpl *x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := sign(t, tmpl, a.cert, key, a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// vpn issues a certificate as the pool has them.
func (a authority) vpn(t testing.TB, plan lease.Plan) *tls.Certificate {
	t.Helper()
	tmpl, err := certs.VPNClient(plan, rand.Reader, 7*24*time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a.issue(t, tmpl)
}

// A fake is a data plane in memory that writes down what it is told.
type fake struct {
	mu      sync.Mutex
	peers   map[lease.Key]gateway.Peer
	shook   map[lease.Key]time.Time
	limited []netip.Addr
	whole   int      // How often it was told all of them.
	calls   []string // Of Remove and Forget, with the addresses.
	fail    error
	slow    chan struct{} // Forget waits for its end. Nil: it does not.
}

func newFake() *fake {
	return &fake{peers: map[lease.Key]gateway.Peer{}, shook: map[lease.Key]time.Time{}}
}

func (f *fake) Set(_ context.Context, peers ...gateway.Peer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	for _, p := range peers {
		f.peers[p.PublicKey] = p
	}
	return nil
}

func (f *fake) Remove(_ context.Context, keys ...lease.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	for _, k := range keys {
		f.calls = append(f.calls, "remove")
		delete(f.peers, k)
		delete(f.shook, k)
	}
	return nil
}

func (f *fake) List(context.Context) (list []gateway.PeerState, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.peers {
		list = append(list, gateway.PeerState{PublicKey: k, LastHandshake: f.shook[k]})
	}
	return list, f.fail
}

type fakeLimits struct{ *fake }

func (f fakeLimits) Set(_ context.Context, addrs []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.limited, f.whole = slices.Clone(addrs), f.whole+1
	}
	return f.fail
}

func (f fakeLimits) Add(_ context.Context, addrs []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.limited = append(f.limited, addrs...)
	}
	return f.fail
}

func (f fakeLimits) Remove(_ context.Context, addrs []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.limited = slices.DeleteFunc(f.limited, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
	}
	return f.fail
}

func (f *fake) Forget(ctx context.Context, addrs []netip.Addr) error {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range addrs {
		f.calls = append(f.calls, "forget "+a.String())
	}
	return f.fail
}

func (f *fake) plane() gateway.DataPlane {
	return gateway.DataPlane{Peers: f, Limits: fakeLimits{f}, Flows: f}
}

// do calls what with f's lock.
func (f *fake) do(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

// keys returns the public keys of all peers.
func (f *fake) keys() []lease.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.peers))
}

// A world is one gateway on loopback.
type world struct {
	cfg     gateway.Config
	server  *gateway.Server
	clients authority
	roots   *x509.CertPool
	addr    string // Of the lease API.
	log     lockedBuffer
	stop    func()
	plane   gateway.DataPlane

	mu    sync.Mutex
	shift time.Duration
}

// newWorld makes the files of a gateway; run starts it.
func newWorld(t testing.TB, plane gateway.DataPlane, change func(*gateway.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{clients: newAuthority(t, true), roots: x509.NewCertPool(), plane: plane}
	servers := newAuthority(t, false)
	w.roots.AddCert(servers.cert)
	tmpl, err := certs.Server([]string{"gw.example.org"}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert := servers.issue(t, tmpl)
	key, err := certs.EncodeKey(cert.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	wg, _ := gatewaytest.NewKey().MarshalText()
	for name, data := range map[string][]byte{
		"server.crt": certs.EncodeCert(cert.Leaf.Raw), "server.key": key, "ca.crt": certs.EncodeCert(w.clients.cert.Raw), "wg.key": wg,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.cfg = gateway.Config{
		Listen: []string{"127.0.0.31:0"}, CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key"),
		ClientCAFile: filepath.Join(dir, "ca.crt"), WGKeyFile: filepath.Join(dir, "wg.key"), RunDir: filepath.Join(dir, "run"),
		Entry:    []gateway.ConfigEntry{{Addr: netip.MustParseAddr("127.0.0.31"), Ports: []uint16{51820, 443}, TLSPorts: []uint16{443}}},
		WGListen: []string{"127.0.0.31:51820"}, Requests: 100_000,
		IPv4: netip.MustParsePrefix("10.64.0.0/24"), IPv6: netip.MustParsePrefix("fd00:64::/64"),
	}
	if change != nil {
		change(&w.cfg)
	}
	return w
}

// run starts the gateway and waits until it admits.
func (w *world) run(t testing.TB) {
	t.Helper()
	var err error
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.server, err = gateway.New(w.cfg, w.plane, log); err != nil {
		t.Fatal(err)
	}
	w.server.SetClock(w.now)
	ln, err := net.Listen("tcp", w.cfg.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error)
	go func() { done <- w.server.Serve(ctx, ln) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	eventually(t, "the gateway is ready", func() bool { return w.server.Check(t.Context()) == nil })
}

// A lockedBuffer takes the log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// logged returns what the gateway has logged.
func (w *world) logged() []byte {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return bytes.Clone(w.log.b.Bytes())
}

// now is the clock of leases.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.shift)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shift += d
}

// eventually waits for what has to come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// tls is how a client connects.
func (w *world) tls(cert *tls.Certificate) *tls.Config {
	return &tls.Config{
		RootCAs: w.roots, ServerName: "gw.example.org", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		},
	}
}

// client returns an HTTP client that shows cert.
func (w *world) client(t testing.TB, conf *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// call makes a request; body may be nil. err is what the gateway refused with,
// or what went wrong on the way.
func (w *world) call(t testing.TB, c *http.Client, method, path string, body any) ([]byte, error) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.addr+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		if typ := resp.Header.Get("Content-Type"); !strings.HasPrefix(typ, problem.ContentType) {
			t.Errorf("a refusal of type %q", typ)
		}
		return nil, problem.Parse(resp.StatusCode, got)
	}
	return got, nil
}

func request() lease.Request {
	return lease.Request{WGPublicKey: gatewaytest.NewKey().Public(), Want: lease.Want{IPv6: true}}
}

// rent asks for a lease, or for the renewal of the one at path.
func (w *world) rent(t testing.TB, c *http.Client, method, path string, r lease.Request) (lease.Lease, error) {
	t.Helper()
	body, err := w.call(t, c, method, path, r)
	if err != nil {
		return lease.Lease{}, err
	}
	l, err := lease.ParseLease(body)
	if err != nil {
		t.Fatal(err)
	}
	return l, nil
}

// must is rent for what is granted.
func (w *world) must(t testing.TB, c *http.Client, method, path string, r lease.Request) lease.Lease {
	t.Helper()
	l, err := w.rent(t, c, method, path, r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
