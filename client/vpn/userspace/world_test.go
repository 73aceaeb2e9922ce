package userspace

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/protocol/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inside is the gateway's own address in the tunnel, where the world behind
// it is: an echo on port 7, a resolver on port 53 that knows echo.example.
func inside() netip.Addr { return netip.MustParseAddr("10.64.0.1") }

// A gate is a gateway in this process.
type gate struct {
	key, client, psk lease.Key
	net              *netstack
	dev              *device.Device
	endpoint         netip.AddrPort
	tls              netip.AddrPort // Where it takes datagrams over TLS.
	ca               []byte
	pair             policy.Pair
	wg               sync.WaitGroup
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{key: randomKey(), client: randomKey(), psk: randomKey()}
	var err error
	if g.net, err = newNetstack([]netip.Prefix{netip.PrefixFrom(inside(), 32)}, 1420); err != nil {
		t.Fatal(err)
	}
	bind := conn.NewDefaultBind()
	g.dev = device.NewDevice(g.net, bind, device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(func() { g.dev.Close(); g.wg.Wait() })
	if err := g.dev.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=0\npublic_key=%s\npreshared_key=%s\nallowed_ip=10.64.0.2/32\n",
		g.key.Hex(), g.client.Public().Hex(), g.psk.Hex())); err != nil {
		t.Fatal(err)
	}
	if err := g.dev.Up(); err != nil {
		t.Fatal(err)
	}
	text, err := g.dev.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	var port uint16
	_, after, _ := strings.Cut(text, "listen_port=")
	if _, err := fmt.Sscan(after, &port); err != nil {
		t.Fatal(err)
	}
	g.endpoint = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	g.echo(t)
	g.resolve(t)
	g.listenTLS(t)
	return g
}

func randomKey() lease.Key {
	var k lease.Key
	rand.Read(k[:]) // It never fails.
	return k
}

// link is the client's end.
func (g *gate) link() *policy.Link {
	return &policy.Link{
		PrivateKey: g.client, PeerKey: g.key.Public(), PSK: g.psk, MTU: 1420, Endpoint: g.endpoint,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.0.2/32")}, DNS: []netip.Addr{inside()},
	}
}

func (g *gate) echo(t *testing.T) {
	full, proto := address(netip.AddrPortFrom(inside(), 7))
	ln, err := gonet.ListenTCP(g.net.stack, full, proto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	g.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
}

// resolve serves names: big.example only by TCP.
func (g *gate) resolve(t *testing.T) {
	full, proto := address(netip.AddrPortFrom(inside(), 53))
	pc, err := gonet.DialUDP(g.net.stack, &full, nil, proto)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := gonet.ListenTCP(g.net.stack, full, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		switch name := q.Question[0].Name; {
		case name == "big.example." && !tcp:
			r.Truncated = true
		case name == "echo.example." || name == "big.example.":
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: inside().AsSlice()}}
		default:
			r.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(r)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: dns.HandlerFunc(answer)}, {Listener: ln, Handler: dns.HandlerFunc(answer)}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		g.wg.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
}

// listenTLS takes datagrams over TLS and hands them to the gateway's socket.
func (g *gate) listenTLS(t *testing.T) {
	t.Helper()
	a := vpntest.NewAuthority(t)
	g.ca, g.pair = a.PEM, policy.PairOf(a.Client(t, time.Hour))
	clients := x509.NewCertPool()
	clients.AddCert(a.Cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.Server(t, "gw1.example.org")}, NextProtos: []string{lease.ALPN},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	g.tls = ln.Addr().(*net.TCPAddr).AddrPort()
	g.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() { g.relay(c) })
		}
	})
}

// relay is what a gateway does with one connection.
func (g *gate) relay(c net.Conn) {
	defer c.Close()
	u, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(g.endpoint))
	if err != nil {
		return
	}
	defer u.Close()
	g.wg.Go(func() {
		buf := make([]byte, lease.MaxDatagram)
		for {
			n, err := u.Read(buf)
			if err != nil {
				return
			}
			frame, err := lease.AppendFrame(nil, buf[:n])
			if err != nil {
				return
			}
			c.Write(frame)
		}
	})
	buf := make([]byte, lease.MaxDatagram)
	for {
		n, err := lease.ReadFrame(c, buf)
		if err != nil {
			return
		}
		u.Write(buf[:n])
	}
}

func newPath(t *testing.T) *Path {
	t.Helper()
	p, err := New(t.Context(), Config{Proxy: netip.MustParseAddrPort("127.0.0.1:0"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func apply(t *testing.T, p *Path, next policy.Policy) {
	t.Helper()
	if err := p.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
}

func tunnelTo(l *policy.Link) policy.Policy { return policy.Policy{Mode: policy.Tunnel, Tunnel: l} }

// client connects to the proxy.
func client(t *testing.T, p *Path) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Proxy().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// echoes checks that what is written to c comes back.
func echoes(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("echo: %v, %d bytes", err, len(got))
	}
}

// until polls.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
