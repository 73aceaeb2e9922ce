// Package tunnel has the VPN client and gateways meet: the client as its daemon
// holds it, with userspace WireGuard and a proxy, and the gateway role with its
// userspace data plane. None of that needs root, or leaves loopback.
// TestWholeComputer has the helper guard a computer, which is a network namespace.
package tunnel

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/client/vpn"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/gateway/netstack"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// A node is one gateway.
type node struct {
	host  string
	lease netip.AddrPort
	stop  func()
}

// free returns a port that nobody uses by TCP and UDP.
func free(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	for range 50 {
		ln, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Fatal(err)
		}
		a := ln.Addr().(*net.TCPAddr).AddrPort()
		ln.Close()
		if pc, err := net.ListenPacket("udp", a.String()); err == nil {
			pc.Close()
			return a
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

// start runs gateway number n on loopback, whose clients' traffic leaves from
// 127.0.0.(10+n). Without udp nobody takes plain datagrams: they go over TLS
// alone.
func start(t *testing.T, a *vpntest.Authority, n int, udp bool) node {
	t.Helper()
	return startAt(t, a, n, "127.0.0.1", udp, func(c *gateway.Config) {
		c.Egress = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + n)})}
		c.Lab = []gateway.ConfigLab{{As: netip.MustParsePrefix("192.0.2.0/24"), Is: netip.MustParsePrefix("127.0.0.0/24")}}
	})
}

// startAt runs gateway number n at an address of this machine.
func startAt(t *testing.T, a *vpntest.Authority, n int, at string, udp bool, change func(*gateway.Config)) node {
	t.Helper()
	dir := t.TempDir()
	host := fmt.Sprintf("gw%d.example.org", n)
	cert := a.Server(t, host)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	wg, err := gatewaytest.NewKey().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"ca.pem":   a.PEM,
		"wg.key":   wg,
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	api, plain := free(t, at), free(t, at)
	entry := plain.Port()
	if !udp {
		entry = free(t, at).Port() // Nobody is there.
	}
	cfg := gateway.Config{
		Listen: []string{api.String()}, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		ClientCAFile: filepath.Join(dir, "ca.pem"), WGKeyFile: filepath.Join(dir, "wg.key"), RunDir: filepath.Join(dir, "run"),
		Entry:    []gateway.ConfigEntry{{Addr: api.Addr(), Ports: []uint16{entry}, TLSPorts: []uint16{api.Port()}}},
		WGListen: []string{plain.String()}, IPv4: netip.MustParsePrefix(fmt.Sprintf("10.64.%d.0/24", n)),
	}
	change(&cfg)
	plane, err := netstack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := gateway.New(cfg, plane.DataPlane(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := plane.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wait.Go(func() {
		if err := srv.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(stop)
	until(t, "the gateway listens", func() error {
		c, err := net.Dial("tcp", api.String())
		if err == nil {
			c.Close()
		}
		return err
	})
	return node{host, api, stop}
}

func until(t *testing.T, what string, f func() error) {
	t.Helper()
	end := time.Now().Add(40 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A device is the client of one user.
type device struct {
	*vpn.VPN
	t     *testing.T
	proxy string
	first string // The transport that up tried first, if it had a lease.
}

// newDevice starts a client of a provider with these gateways.
func newDevice(t *testing.T, p *vpntest.Provider, nodes ...node) *device {
	t.Helper()
	p.Set(func(o *vpntest.Offer) {
		for _, n := range nodes {
			o.Gateways = append(o.Gateways, &vpntest.Gateway{Name: n.host, Listen: n.lease})
		}
	})
	dir := t.TempDir()
	s := p.Session(t, dir)
	v := vpn.New(vpn.Config{
		Dir:      dir,
		Provider: func() (*session.Provider, error) { return s, nil },
		Token:    func(context.Context, string) (string, error) { return "", problem.Unauthenticated },
		Helper:   func(context.Context) (policy.Path, error) { return nil, problem.NotExist },
	}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := v.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
	return &device{VPN: v, t: t}
}

// up connects and returns how it is then.
func (d *device) up() control.VPNStatus {
	d.t.Helper()
	if err := d.VPNUp(d.t.Context(), control.VPNUpRequest{Proxy: "127.0.0.1:0"}); err != nil {
		d.t.Fatal(err)
	}
	s := d.VPNStatus(d.t.Context())
	d.first = s.Transport
	until(d.t, "connected", func() error {
		if s = d.VPNStatus(d.t.Context()); s.State != control.VPNConnected {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	d.proxy = s.Proxy
	return s
}

// fetch asks a server through the proxy where the request comes from.
func (d *device) fetch(server, scheme string) (string, error) {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: d.proxy}), DisableKeepAlives: true}
	hc := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	resp, err := hc.Get(server)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// whoami is a server that says where a request comes from. Its address is the
// one that the gateways' clients know it by.
func whoami(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, host)
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.", "192.0.2.", 1)
}

// TestNextGateway: a request leaves from the first gateway's address; the
// gateway ends; requests leave from the second's.
func TestNextGateway(t *testing.T) {
	t.Parallel()
	p := vpntest.NewProvider(t)
	one, two := start(t, p.Authority, 1, true), start(t, p.Authority, 2, true)
	d := newDevice(t, p, one, two)
	if err := d.VPNUse(t.Context(), control.VPNChoice{Use: "auto"}); err != nil {
		t.Fatal(err)
	}
	s := d.up()
	if !s.PostQuantum || s.Transport != "udp" {
		t.Errorf("%+v", s)
	}
	server := whoami(t)
	first, second, stop := "127.0.0.11", "127.0.0.12", one.stop
	if s.Gateway == two.host {
		first, second, stop = second, first, two.stop
	}
	if got, err := d.fetch(server, "socks5"); err != nil || got != first {
		t.Fatalf("from %q, %v, want %s", got, err, first)
	}
	begin := time.Now()
	stop()
	until(t, "traffic resumes from the second", func() error {
		got, err := d.fetch(server, "socks5")
		if err == nil && got != second {
			err = fmt.Errorf("from %s", got)
		}
		return err
	})
	t.Logf("resumed after %.1f s", time.Since(begin).Seconds())
	if err := d.VPNDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.fetch(server, "socks5"); err == nil {
		t.Error("the proxy serves without a tunnel")
	}
}

// TestOverTLS: nobody answers by UDP, so the tunnel goes over TLS.
func TestOverTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("waits 15 s for UDP: not in -short")
	}
	t.Parallel()
	p := vpntest.NewProvider(t)
	d := newDevice(t, p, start(t, p.Authority, 1, false))
	if s := d.up(); s.Transport != "udp2tcp" {
		t.Errorf("%+v", s)
	}
	if got, err := d.fetch(whoami(t), "socks5"); err != nil || got != "127.0.0.11" {
		t.Errorf("from %q, %v", got, err)
	}
	if err := d.VPNDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := d.up(); d.first != "udp2tcp" || s.Transport != "udp2tcp" {
		t.Errorf("what worked was not tried first, but %q: %+v", d.first, s)
	}
}

// TestExported: a real gateway's lease becomes a file.
func TestExported(t *testing.T) {
	t.Parallel()
	p := vpntest.NewProvider(t)
	d := newDevice(t, p, start(t, p.Authority, 1, true))
	var c control.VPNConfig
	until(t, "a lease to export", func() (err error) {
		c, err = d.VPNExport(t.Context(), control.VPNChoice{})
		return err
	})
	if !strings.Contains(c.Config, "10.64.1.") || c.Gateway != "gw1.example.org" {
		t.Errorf("%+v", c)
	}
}
