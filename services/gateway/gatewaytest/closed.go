package gatewaytest

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"leap.example/services/gateway"
)

// testStranger: neither a key that is not known nor a wrong PSK gets an answer.
func testStranger(t *testing.T, w *World) {
	w.fetch(t, w.join(t, 1), w.Server) // It does answer.
	wrong := w.outsider(t, w.place(2))
	peer := gateway.Peer{PublicKey: wrong.Key.Public(), PSK: NewKey(), Addresses: w.place(2)}
	if err := w.Plane.Peers.Set(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	sink := w.udp(t, w.Server)
	for name, c := range map[string]*Client{"an unknown key": w.outsider(t, w.place(3)), "a wrong PSK": wrong} {
		conn, err := c.Net.DialUDPAddrPort(netip.AddrPort{}, at(w.Server, sink.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if !silent(t, sink) {
			t.Errorf("%s came through", name)
		}
	}
	// The first message of a handshake by an unknown key, and any reply to it.
	raw := w.ClientSocket(t)
	defer raw.Close()
	first := make([]byte, 148)
	first[0] = 1
	if _, err := raw.WriteTo(first, net.UDPAddrFromAddrPort(w.WireGuard)); err != nil {
		t.Fatal(err)
	}
	if !silent(t, raw) {
		t.Error("a stranger was answered")
	}
}

// testSpoof: a source that is another client's does not get through, in order
// before one that is the client's own.
func testSpoof(t *testing.T, w *World) {
	w.join(t, 2)
	own, other := w.place(1), w.place(2)
	c := w.outsider(t, []netip.Prefix{own[0], other[0]})
	if err := w.Plane.Peers.Set(t.Context(), gateway.Peer{PublicKey: c.Key.Public(), PSK: c.PSK, Addresses: own[:1]}); err != nil {
		t.Fatal(err)
	}
	sink := w.udp(t, w.Server)
	for _, from := range []netip.Prefix{other[0], own[0]} {
		conn, err := c.Net.DialUDPAddrPort(netip.AddrPortFrom(from.Addr(), 0), at(w.Server, sink.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(from.String())); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := receive(t, sink); got != own[0].String() {
		t.Errorf("a spoofed source came through")
	}
}

// testIsolation: clients do not reach each other.
func testIsolation(t *testing.T, w *World) {
	a, b := w.join(t, 1), w.join(t, 2)
	w.fetch(t, a, w.Server)
	w.fetch(t, b, w.Server)
	for _, at := range w.place(2) {
		ln, err := b.Net.ListenTCPAddrPort(netip.AddrPortFrom(at.Addr(), 80))
		if err != nil {
			t.Fatal(err)
		}
		w.refused(t, a, ln, netip.AddrPortFrom(at.Addr(), 80))
	}
}

// refused checks that c does not reach ln at an address, and closes it.
func (w *World) refused(t *testing.T, c *Client, ln net.Listener, at netip.AddrPort) {
	t.Helper()
	who := accepted(ln)
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if conn, err := c.Net.DialContextTCPAddrPort(ctx, at); err == nil {
		conn.Close()
		t.Errorf("port %d answered", at.Port())
	}
	ln.Close()
	if from, ok := <-who; ok {
		t.Errorf("port %d was reached, from %v", at.Port(), from.Addr())
	}
}

func testPrivate(t *testing.T, w *World) {
	c := w.join(t, 1)
	w.fetch(t, c, w.Server)
	ln := w.tcp(t, w.Private, 0)
	w.refused(t, c, ln, at(w.Private, ln.Addr()))
	sink := w.udp(t, w.Private)
	conn, err := c.Net.DialUDPAddrPort(netip.AddrPort{}, at(w.Private, sink.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if !silent(t, sink) {
		t.Error("a private address got a datagram")
	}
}

func testPorts(t *testing.T, w *World) {
	c := w.join(t, 1)
	w.fetch(t, c, w.Server)
	for _, port := range []uint16{25, 53, 135, 139, 161, 445, 4661, 4666} {
		ln, _, err := w.Listen("tcp", netip.AddrPortFrom(w.Server, port))
		if err != nil {
			t.Logf("port %d cannot be tried here: %v", port, err)
			continue
		}
		w.refused(t, c, ln, netip.AddrPortFrom(w.Server, port))
	}
}
