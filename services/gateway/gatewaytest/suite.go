package gatewaytest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"leap.example/services/gateway"
)

// Test holds a data plane to what gateway.DataPlane promises. open makes a
// world for one test; what it made it ends by t.Cleanup.
func Test(t *testing.T, open func(t *testing.T) *World) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, *World)
	}{
		{"carries TCP and UDP", testCarry},
		{"answers echo requests itself", testEcho},
		{"answers no stranger", testStranger},
		{"drops spoofed sources", testSpoof},
		{"keeps clients apart", testIsolation},
		{"keeps private addresses closed", testPrivate},
		{"keeps ports closed", testPorts},
		{"forgets flows", testForget},
		{"forgets removed peers", testRemove},
		{"limits", testLimit},
		{"answers names at its own address", testNames},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// testCarry: both protocols and families go both ways, from the egress address.
func testCarry(t *testing.T, w *World) {
	c := w.join(t, 1)
	for _, server := range []netip.Addr{w.Server, w.Server6} {
		if !server.IsValid() {
			continue
		}
		from := w.fetch(t, c, server)
		if e := w.Config.Egress; len(e) > 0 && !slices.Contains(e, from.Addr()) {
			t.Errorf("%v sees another address than the egress", server)
		}
		sink := w.udp(t, server)
		back := w.say(t, c, at(server, sink.LocalAddr()), sink)
		if _, err := sink.WriteTo([]byte("pong"), back); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.Plane.Peers.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p gateway.PeerState) bool { return p.PublicKey == c.Key.Public() })
	if i < 0 || list[i].LastHandshake.IsZero() || list[i].RX == 0 || list[i].TX == 0 {
		t.Errorf("the list does not show the peer's handshake and traffic")
	}
}

// fetch checks that c reaches a TCP server, and returns whom that saw.
func (w *World) fetch(t *testing.T, c *Client, server netip.Addr) netip.AddrPort {
	t.Helper()
	ln := w.tcp(t, server, 0)
	who := accepted(ln)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := c.Net.DialContextTCPAddrPort(ctx, at(server, ln.Addr()))
	if err != nil {
		t.Fatalf("connecting through the tunnel: %v", err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("waiting for the end of the connection: %v", err)
	}
	return <-who
}

// say sends a datagram from a new port of c, and returns where sink saw it come
// from.
func (w *World) say(t *testing.T, c *Client, to netip.AddrPort, sink net.PacketConn) net.Addr {
	t.Helper()
	conn, err := c.Net.DialUDPAddrPort(netip.AddrPort{}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got, from := receive(t, sink)
	if got != "ping" {
		t.Fatalf("the server got %q", got)
	}
	return from
}

// testEcho: the gateway's own addresses answer, so that a client can tell that
// the tunnel is there.
func testEcho(t *testing.T, w *World) {
	c := w.join(t, 1)
	for _, own := range w.Config.Own() {
		conn, err := c.Net.DialPingAddr(netip.Addr{}, own)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// RFC 792: echo request, code, checksum, identifier, sequence; RFC 4443, 4.1.
		request := []byte{8, 0, 0xf7, 0xfe, 0, 0, 0, 1}
		if own.Is6() {
			request[0], request[2], request[3] = 128, 0, 0 // The stack fills it in.
		}
		reply, n := make([]byte, 64), 0
		for deadline := time.Now().Add(patience); n == 0 && time.Now().Before(deadline); { // One may be lost.
			if _, err := conn.Write(request); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
				t.Fatal(err)
			}
			n, err = conn.Read(reply)
		}
		if err != nil || n < 8 || reply[0] != map[bool]byte{true: 0, false: 129}[own.Is4()] {
			t.Errorf("%v: %d bytes, type %d, %v", own, n, reply[0], err)
		}
	}
}

// testNames: a question to the gateway's own address reaches the resolver and
// its answer comes back.
func testNames(t *testing.T, w *World) {
	if w.Resolver == nil {
		t.Skip("this data plane leaves names to the resolver role")
	}
	c := w.join(t, 1)
	resolver := w.Resolver(t)
	defer resolver.Close()
	conn, err := c.Net.DialUDPAddrPort(netip.AddrPort{}, netip.AddrPortFrom(w.Config.Own()[0], 53))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	got, from := receive(t, resolver)
	if got != "question" {
		t.Fatalf("the resolver got %q", got)
	}
	if _, err := resolver.WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, conn); got != "answer" {
		t.Errorf("the client got %q", got)
	}
}
