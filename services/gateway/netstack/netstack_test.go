package netstack_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/gateway/netstack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// port returns a free UDP port of an address of loopback.
func port(t testing.TB, host string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// config is that of a gateway on loopback.
func config(t testing.TB) gateway.Config {
	t.Helper()
	key, _ := gatewaytest.NewKey().MarshalText()
	file := filepath.Join(t.TempDir(), "wg.key")
	if err := os.WriteFile(file, append(key, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	return gateway.Config{
		Listen: []string{"127.0.0.31:0"}, CertFile: "-", KeyFile: "-", ClientCAFile: "-", WGKeyFile: file, RunDir: "-",
		Entry:    []gateway.ConfigEntry{{Addr: netip.MustParseAddr("127.0.0.31"), Ports: []uint16{1}}},
		WGListen: []string{port(t, "127.0.0.31")}, Egress: []netip.Addr{netip.MustParseAddr("127.0.0.32"), netip.IPv6Loopback()},
		IPv4: netip.MustParsePrefix("10.64.0.0/24"), IPv6: netip.MustParsePrefix("fd00:64::/64"),
		Resolver: port(t, "127.0.0.33"), Rate: 256 << 10,
		Lab: []gateway.ConfigLab{
			{As: netip.MustParsePrefix("192.0.2.0/24"), Is: netip.MustParsePrefix("127.0.0.0/24")},
			{As: netip.MustParsePrefix("2001:db8::1/128"), Is: netip.MustParsePrefix("::1/128")},
		},
	}
}

// start runs a data plane until the test ends.
func start(t testing.TB, cfg gateway.Config) *netstack.Plane {
	t.Helper()
	p, err := netstack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // Longer than the test's, whose clean-up needs it.
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := p.List(t.Context()); err == nil {
			return p
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// What clients of config reach, or not.
var (
	server  = netip.MustParseAddr("192.0.2.40")
	server6 = netip.MustParseAddr("2001:db8::1")
	private = netip.MustParseAddr("127.0.0.41")
)

func world(t *testing.T) *gatewaytest.World {
	cfg := config(t)
	p := start(t, cfg)
	key, err := gateway.ReadKey(cfg.WGKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	w := &gatewaytest.World{
		Config: cfg, Plane: p.DataPlane(), Public: key.Public(), WireGuard: netip.MustParseAddrPort(cfg.WGListen[0]),
		ClientSocket: func(t testing.TB) net.PacketConn { return listenPacket(t, "127.0.0.30:0") },
		Server:       server, Private: private,
		Listen: func(network string, at netip.AddrPort) (net.Listener, net.PacketConn, error) {
			host := map[netip.Addr]string{server: "127.0.0.40", server6: "::1", private: private.String()}[at.Addr()]
			text := net.JoinHostPort(host, fmt.Sprint(at.Port()))
			if network == "tcp" {
				ln, err := net.Listen(network, text)
				return ln, nil, err
			}
			c, err := net.ListenPacket(network, text)
			return nil, c, err
		},
		Resolver: func(t testing.TB) net.PacketConn { return listenPacket(t, cfg.Resolver) },
		Least:    gatewaytest.Shares{Up: 0.7, Down: 0.7},
	}
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
		ln.Close()
		w.Server6 = server6
	}
	return w
}

func listenPacket(t testing.TB, at string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) { gatewaytest.Test(t, world) }

// TestStopped: what is asked while it does not run fails, and says so.
func TestStopped(t *testing.T) {
	p, err := netstack.New(config(t))
	if err != nil {
		t.Fatal(err)
	}
	_, errList := p.List(t.Context())
	for name, err := range map[string]error{"Set": p.Set(t.Context(), gateway.Peer{}), "Remove": p.Remove(t.Context()), "List": errList} {
		if fmt.Sprint(err) != "the data plane is not running" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
