package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/gateway/netstack"
	"leap.example/services/protocol/lease"
)

// newReal makes a gateway with the userspace data plane, whose clients reach
// 127.0.0.X as 192.0.2.X.
func newReal(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, gateway.DataPlane{}, func(c *gateway.Config) {
		probe, err := net.ListenPacket("udp", "127.0.0.31:0")
		if err != nil {
			t.Fatal(err)
		}
		defer probe.Close()
		port := netip.MustParseAddrPort(probe.LocalAddr().String()).Port()
		c.WGListen = []string{probe.LocalAddr().String()}
		c.Entry[0].Ports = []uint16{port}
		c.Egress = []netip.Addr{netip.MustParseAddr("127.0.0.32")}
		c.Lab = []gateway.ConfigLab{{As: netip.MustParsePrefix("192.0.2.0/24"), Is: netip.MustParsePrefix("127.0.0.0/24")}}
	})
	plane, err := netstack.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.plane = plane.DataPlane()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error)
	go func() { done <- plane.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.run(t)
	return w
}

// tunnel makes the client of a lease, whose datagrams go by socket.
func tunnel(t *testing.T, key lease.Key, l lease.Lease, socket net.PacketConn) *gatewaytest.Client {
	t.Helper()
	c := &gatewaytest.Client{
		Key: key, PSK: l.PSK, Gateway: l.GatewayPublicKey, Endpoint: netip.AddrPortFrom(l.Endpoints[0].Addr, l.Endpoints[0].Ports[0]),
		Socket: socket, Addresses: l.Addresses, MTU: l.MTU,
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// fetch reads what a server behind the gateway says, and returns whom it saw.
func fetch(t *testing.T, c *gatewaytest.Client) netip.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.40:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	from := make(chan net.Addr, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			from <- ln.Addr()
			return
		}
		_, _ = io.WriteString(conn, "hello") // The other end tells.
		conn.Close()
		from <- conn.RemoteAddr()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	port := netip.MustParseAddrPort(ln.Addr().String()).Port()
	conn, err := c.Net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.40"), port))
	if err != nil {
		t.Fatalf("through the tunnel: %v", err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	return netip.MustParseAddrPort((<-from).String()).Addr()
}

// TestSession: a lease by the API makes a tunnel; its end ends the tunnel.
func TestSession(t *testing.T) {
	w := newReal(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	key := gatewaytest.NewKey()
	r := lease.Request{WGPublicKey: key.Public(), Want: lease.Want{IPv6: true}}
	l := w.must(t, c, "POST", lease.PathLease, r)
	in := tunnel(t, key, l, packets(t))
	if from := fetch(t, in); from != w.cfg.Egress[0] {
		t.Errorf("the server saw %v, want the egress %v", from, w.cfg.Egress[0])
	}
	// A flow that is open when the lease ends, ends.
	ln, err := net.Listen("tcp", "127.0.0.40:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := netip.MustParseAddrPort(ln.Addr().String()).Port()
	conn, err := in.Net.DialContextTCPAddrPort(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("192.0.2.40"), port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	outer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	if _, err := w.call(t, c, "DELETE", l.LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	if err := outer.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := outer.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the flow after the lease: %v", err)
	}
}

func packets(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.30:0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// overTLS is a client's end of the fallback as a socket.
type overTLS struct {
	*tls.Conn
	to net.Addr // Where answers seem to come from.
	mu sync.Mutex
}

func (o *overTLS) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := lease.ReadFrame(o.Conn, b)
	return n, o.to, err
}

func (o *overTLS) WriteTo(b []byte, _ net.Addr) (int, error) {
	frame, err := lease.AppendFrame(nil, b)
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Write(frame)
}

// fallback connects by lease.ALPN.
func (w *world) fallback(t *testing.T, cert *tls.Certificate) *overTLS {
	t.Helper()
	conf := w.tls(cert)
	conf.NextProtos = []string{lease.ALPN}
	conn, err := tls.Dial("tcp", w.addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if got := conn.ConnectionState().NegotiatedProtocol; got != lease.ALPN {
		t.Fatalf("negotiated %q", got)
	}
	to, err := net.ResolveUDPAddr("udp", w.cfg.WGListen[0])
	if err != nil {
		t.Fatal(err)
	}
	return &overTLS{Conn: conn, to: to}
}

// TestFallback: where UDP does not pass, the same tunnel goes over TLS; what is
// no datagram of WireGuard ends the connection.
func TestFallback(t *testing.T) {
	w := newReal(t)
	cert := w.clients.vpn(t, lease.Unlimited)
	key := gatewaytest.NewKey()
	r := lease.Request{WGPublicKey: key.Public(), Want: lease.Want{Transport: lease.UDP2TCP}}
	l := w.must(t, w.client(t, w.tls(cert)), "POST", lease.PathLease, r)
	in := tunnel(t, key, l, w.fallback(t, cert))
	if from := fetch(t, in); from != w.cfg.Egress[0] {
		t.Errorf("the server saw %v", from)
	}
	long := bytes.Repeat([]byte{1, 0, 0, 0}, 100)
	for name, data := range map[string][]byte{
		"a question for names": append([]byte{0, 40}, make([]byte, 40)...),
		"a short message":      {0, 4, 1, 0, 0, 0},
		"no frame":             {0, 0},
		"too long a frame":     append([]byte{255, 255}, long...),
	} {
		conn := w.fallback(t, cert)
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	conf := w.tls(newAuthority(t, true).vpn(t, lease.Unlimited))
	conf.NextProtos = []string{lease.ALPN}
	if err := w.shake(t, conf); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of another CA: %v", err)
	}
}

// TestNothingIdentifying: after a session nothing that was written names the
// client: not its address, keys, lease, or certificate. While it lasts, the book
// in memory has the key and no more.
func TestNothingIdentifying(t *testing.T) {
	w := newReal(t)
	cert := w.clients.vpn(t, lease.Limited)
	c := w.client(t, w.tls(cert))
	key := gatewaytest.NewKey()
	r := lease.Request{WGPublicKey: key.Public()}
	l := w.must(t, c, "POST", lease.PathLease, r)
	socket := packets(t)
	fetch(t, tunnel(t, key, l, socket))
	for _, bad := range []any{lease.Request{}, "x"} {
		if _, err := w.call(t, c, "POST", lease.PathLease, bad); err == nil {
			t.Error("a bad request was granted")
		}
	}
	_ = w.shake(t, w.tls(nil)) // It is refused, and that may be logged.
	always := map[string][]byte{
		"address":           []byte("127.0.0.30"),
		"address in bytes":  {127, 0, 0, 30},
		"serial":            []byte(cert.Leaf.SerialNumber.String()),
		"serial in hex":     fmt.Appendf(nil, "%x", cert.Leaf.SerialNumber),
		"serial in bytes":   cert.Leaf.SerialNumber.Bytes(),
		"common name":       []byte(cert.Leaf.Subject.CommonName),
		"certificate's key": cert.Leaf.RawSubjectPublicKeyInfo[30:],
		"address by TCP":    []byte("127.0.0.1:"),
	}
	after := map[string][]byte{
		"key": r.WGPublicKey[:], "key in hex": []byte(r.WGPublicKey.Hex()), "key in base64": []byte(base64.StdEncoding.EncodeToString(r.WGPublicKey[:])),
		"PSK": l.PSK[:], "lease": l.LeaseID[:], "lease in hex": []byte(l.LeaseID.Path()), "inner address": []byte(l.Addresses[0].Addr().String()),
	}
	w.search(t, "during", always)
	if _, err := w.call(t, c, "DELETE", l.LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	w.search(t, "after", always)
	w.search(t, "after", after)
	w.stop()
	w.search(t, "at the end", always)
	w.search(t, "at the end", after)
}

// search looks for marks in the log and in every file of the gateway's.
func (w *world) search(t *testing.T, when string, marks map[string][]byte) {
	t.Helper()
	all := map[string][]byte{"log": w.logged()}
	err := filepath.WalkDir(w.cfg.RunDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Error("the gateway has written nothing: this test looks in the wrong place")
	}
	for name, data := range all {
		for what, mark := range marks {
			if bytes.Contains(data, mark) {
				t.Errorf("%s: %s is in %s", when, what, filepath.Base(name))
			}
		}
	}
}
