package gatewaytest

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

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

// tries are how often a busy machine, which is slow for a while, may show what a data
// plane lets through. One that is wrong never does.
const tries = 5

// most is what a limited client gets of its rate at most, at each try.
const most = 1.35

// until calls f until it is right, at most so often, and fails with what it said last.
func until(t *testing.T, f func() (said string, right bool)) {
	t.Helper()
	for k := range tries {
		said, right := f()
		switch t.Log(said); {
		case right:
			return
		case k == tries-1:
			t.Errorf("never right in %d tries: %s", tries, said)
		}
	}
}

// testLimit: a limited client gets about its rate in each direction, by
// datagrams and by TCP, and its neighbour much more at the same time.
func testLimit(t *testing.T, w *World) {
	slow, fast := w.join(t, 1), w.join(t, 2)
	var addrs []netip.Addr
	for _, p := range w.place(1) {
		addrs = append(addrs, p.Addr())
	}
	var also []netip.Addr
	for _, p := range w.place(2) {
		also = append(also, p.Addr())
	}
	limits := w.Plane.Limits
	for _, err := range []error{
		limits.Set(t.Context(), also), limits.Remove(t.Context(), addrs), // Those have none.
		limits.Add(t.Context(), addrs), limits.Add(t.Context(), addrs), limits.Remove(t.Context(), also),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.testMeter(t, slow)
	rate := w.Config.WithDefaults().Rate
	for _, way := range []struct {
		name   string
		upward bool
		least  float64
	}{{"down", false, w.Least.Down}, {"up", true, w.Least.Up}} {
		until(t, func() (string, bool) {
			w.transfer(t, slow, rate, way.upward) // Kernels let a second's worth through at once.
			ratio := w.transfer(t, slow, 3*rate, way.upward) / float64(rate)
			gain := w.transfer(t, fast, 3*rate, way.upward) / (ratio * float64(rate))
			said := fmt.Sprintf("TCP %s: limited client %.2f of its rate, at least %.2f wanted, neighbour %.1f times as fast", way.name, ratio, way.least, gain)
			if ratio > most {
				t.Error(said) // No machine is so slow that it does that.
			}
			return said, ratio >= way.least && gain >= 3
		})
	}
	if err := limits.Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	until(t, func() (string, bool) {
		got := w.transfer(t, slow, 3*rate, false) / float64(rate)
		return fmt.Sprintf("after the limit is lifted: %.2f of its rate", got), got >= 2
	})
}

// testMeter floods both ways at the same time with more than the limited client's
// rate: whatever TCP makes of it, this is what the data plane lets through.
func (w *World) testMeter(t *testing.T, slow *Client) {
	rate := w.Config.WithDefaults().Rate
	sink := w.udp(t, w.Server)
	own, far, err := slow.Ends(sink, at(w.Server, sink.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	until(t, func() (string, bool) {
		var down, up Flow
		var g errgroup.Group
		g.Go(func() (err error) { up, err = Flood(own, far, 4*rate, 2*time.Second); return err })
		g.Go(func() (err error) { down, err = Flood(far, own, 4*rate, 2*time.Second); return err })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		said, right := "datagrams: limited client", true
		for name, f := range map[string]Flow{"up": up, "down": down} {
			ratio, sent := f.Got/float64(rate), f.Sent/float64(rate)
			said += fmt.Sprintf(" %.2f of its rate %s, of %.2f that were sent;", ratio, name, sent)
			right = right && ratio >= 0.7*min(sent, 1) // An emulated machine may be too slow to send more.
			if ratio > most {
				t.Errorf("datagrams %s: limited client has %.2f of its rate", name, ratio)
			}
		}
		return said, right
	})
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
