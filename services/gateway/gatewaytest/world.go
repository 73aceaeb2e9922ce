// Package gatewaytest says what a data plane of a gateway has to hold, and
// tries it by packets: [Test] runs over package netstack without root, and over
// kernel WireGuard and nftables where a test may make namespaces. It has a
// client of its own, wireguard-go on an IP stack of gvisor, for those tests and
// for others of the gateway.
package gatewaytest

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// A World is a data plane and the places around it. Where they are network
// namespaces of their own, the functions open sockets in them.
type World struct {
	Config gateway.Config // That the data plane was made by. Clients may reach Server; Rate is 64 KiB to 1 MiB.
	Plane  gateway.DataPlane
	Public lease.Key // Of the gateway.

	WireGuard netip.AddrPort // Where it takes datagrams.
	// ClientSocket opens a UDP socket where clients are, outside the tunnel.
	ClientSocket func(t testing.TB) net.PacketConn

	Server  netip.Addr // That clients may reach, as they call it.
	Server6 netip.Addr // The same by IPv6. Invalid: not tried.
	Private netip.Addr // Of the same place, that clients may not reach.
	// Listen opens a socket of "tcp" or "udp" at what stands behind one of
	// these addresses.
	Listen func(network string, at netip.AddrPort) (net.Listener, net.PacketConn, error)

	// Resolver opens the socket that the gateway asks for names. Nil: the
	// data plane leaves names to somebody else.
	Resolver func(t testing.TB) net.PacketConn

	Least Shares // Required.
}

// Shares are the least parts of its rate that a limited client's TCP gets in each
// direction. What the data plane lets through is held to 0.7 by datagrams, both
// ways and everywhere; less here says that TCP does not make use of it.
type Shares struct{ Up, Down float64 }

// patience is how long a test waits for what has to come; quiet is how long
// for what must not.
const (
	patience = 20 * time.Second
	quiet    = 400 * time.Millisecond
)

// NewKey returns a private key of WireGuard.
func NewKey() lease.Key {
	var k lease.Key
	rand.Read(k[:]) // Never fails.
	k[0] &= 248     // RFC 7748, 5.
	k[31] = k[31]&127 | 64
	return k
}

// tcp listens at an address and a port; 0 is any.
func (w *World) tcp(t testing.TB, at netip.Addr, port uint16) net.Listener {
	t.Helper()
	ln, _, err := w.Listen("tcp", netip.AddrPortFrom(at, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (w *World) udp(t testing.TB, at netip.Addr) net.PacketConn {
	t.Helper()
	_, c, err := w.Listen("udp", netip.AddrPortFrom(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// place returns the n-th place for clients: its addresses in the tunnel.
func (w *World) place(n int) (list []netip.Prefix) {
	for _, a := range w.Config.Own() {
		for range n {
			a = a.Next()
		}
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}

// join makes a client at the n-th place that the data plane knows.
func (w *World) join(t testing.TB, n int) *Client {
	t.Helper()
	c := w.outsider(t, w.place(n))
	peer := gateway.Peer{PublicKey: c.Key.Public(), PSK: c.PSK, Addresses: w.place(n)}
	if err := w.Plane.Peers.Set(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The context of the test is over.
		if err := w.Plane.Peers.Remove(context.WithoutCancel(t.Context()), peer.PublicKey); err != nil {
			t.Error(err)
		}
	})
	return c
}

// outsider makes a client that the data plane does not know.
func (w *World) outsider(t testing.TB, addrs []netip.Prefix) *Client {
	t.Helper()
	c := &Client{
		Key: NewKey(), PSK: NewKey(), Gateway: w.Public, Endpoint: w.WireGuard, Socket: w.ClientSocket(t),
		Addresses: addrs, MTU: w.Config.WithDefaults().MTU,
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// accepted reports who connects to ln, until it is closed.
func accepted(ln net.Listener) <-chan netip.AddrPort {
	got := make(chan netip.AddrPort, 16)
	go func() {
		defer close(got)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			from, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // Invalid is from nobody.
			c.Close()
			select {
			case got <- from:
			default:
			}
		}
	}()
	return got
}

// silent reports whether nothing comes to c for a while.
func silent(t testing.TB, c net.PacketConn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.ReadFrom(make([]byte, 2048))
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// receive returns the next datagram that comes to c.
func receive(t testing.TB, c net.PacketConn) (string, net.Addr) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, from, err := c.ReadFrom(buf)
	if err != nil {
		t.Fatalf("waiting for a datagram: %v", err)
	}
	return string(buf[:n]), from
}

// at returns the address by which clients reach the port of a socket.
func at(server netip.Addr, socket net.Addr) netip.AddrPort {
	return netip.AddrPortFrom(server, addrOf(socket).Port())
}

func addrOf(a net.Addr) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(a.String()) // Of sockets of ours.
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
