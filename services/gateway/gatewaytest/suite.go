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
	"leap.example/services/protocol/lease"
)

// Test holds a data plane to what gateway.DataPlane promises. open makes a
// world for one test; what it made it ends by t.Cleanup.
func Test(t *testing.T, open func(t *testing.T) *World) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, *World)
	}{
		{"carries TCP and UDP", testCarry},
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

// testForget: who gets the address of a client that has gone gets none of its
// packets.
func testForget(t *testing.T, w *World) {
	first := w.join(t, 1)
	sink := w.udp(t, w.Server)
	inside := netip.AddrPortFrom(w.place(1)[0].Addr(), 4000)
	conn, err := first.Net.DialUDPAddrPort(inside, at(w.Server, sink.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_, from := receive(t, sink)
	w.remove(t, first.Key.Public())
	addrs := []netip.Addr{}
	for _, p := range w.place(1) {
		addrs = append(addrs, p.Addr())
	}
	if err := w.Plane.Flows.Forget(t.Context(), addrs); err != nil {
		t.Fatal(err)
	}
	second := w.join(t, 1)
	w.fetch(t, second, w.Server) // Its session is there.
	ear, err := second.Net.ListenUDPAddrPort(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	if _, err := sink.WriteTo([]byte("for the first"), from); err != nil {
		t.Logf("the way back is closed: %v", err)
	}
	if !silent(t, ear) {
		t.Error("a packet for the client before came to the one after")
	}
}

func (w *World) remove(t *testing.T, key lease.Key) {
	t.Helper()
	if err := w.Plane.Peers.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// testRemove: a peer that was removed is cut off; set again, it is as new.
func testRemove(t *testing.T, w *World) {
	c := w.join(t, 1)
	w.fetch(t, c, w.Server)
	w.remove(t, c.Key.Public())
	w.remove(t, c.Key.Public()) // No error.
	sink := w.udp(t, w.Server)
	conn, err := c.Net.DialUDPAddrPort(netip.AddrPort{}, at(w.Server, sink.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if !silent(t, sink) {
		t.Error("a removed peer came through")
	}
	if err := w.Plane.Peers.Set(t.Context(), gateway.Peer{PublicKey: c.Key.Public(), PSK: c.PSK, Addresses: w.place(1)}); err != nil {
		t.Fatal(err)
	}
	list, err := w.Plane.Peers.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.PublicKey == c.Key.Public() && !p.LastHandshake.IsZero() {
			t.Error("the handshake of before is still known")
		}
	}
}

// testLimit: a limited client gets about its rate in each direction, and its
// neighbour much more at the same time.
func testLimit(t *testing.T, w *World) {
	slow, fast := w.join(t, 1), w.join(t, 2)
	var addrs []netip.Addr
	for _, p := range w.place(1) {
		addrs = append(addrs, p.Addr())
	}
	if err := w.Plane.Limits.Set(t.Context(), addrs); err != nil {
		t.Fatal(err)
	}
	rate := w.Config.WithDefaults().Rate
	for _, upward := range []bool{false, true} {
		w.transfer(t, slow, rate, upward) // Kernels let a second's worth through at once.
		limited := w.transfer(t, slow, 3*rate, upward)
		free := w.transfer(t, fast, 3*rate, upward)
		ratio, gain := limited/float64(rate), free/limited
		t.Logf("upward %v: limited client %.2f of its rate, neighbour %.0f times as fast", upward, ratio, gain)
		if ratio > 1.35 || ratio < 0.2 || gain < 3 {
			t.Errorf("upward %v: limited client has %.2f of its rate, neighbour is %.1f times as fast", upward, ratio, gain)
		}
	}
	if err := w.Plane.Limits.Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := w.transfer(t, slow, 3*rate, false); got < 2*float64(rate) {
		t.Errorf("after the limit is lifted: %.2f of its rate", got/float64(rate))
	}
}

// transfer moves n bytes by TCP and returns bytes a second.
func (w *World) transfer(t *testing.T, c *Client, n int64, upward bool) float64 {
	t.Helper()
	ln := w.tcp(t, w.Server, 0)
	moved := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			moved <- err
			return
		}
		defer conn.Close()
		if upward {
			_, err = io.CopyN(io.Discard, conn, n)
		} else {
			_, err = conn.Write(make([]byte, n))
		}
		moved <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	conn, err := c.Net.DialContextTCPAddrPort(ctx, at(w.Server, ln.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	if upward {
		_, err = conn.Write(make([]byte, n))
	} else {
		_, err = io.CopyN(io.Discard, conn, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	return float64(n) / time.Since(start).Seconds()
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
