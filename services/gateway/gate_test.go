package gateway_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// greet makes a connection that shows cert, and tells whether the gateway keeps
// it: that it closes it comes after the handshake.
func (w *world) greet(t *testing.T, from string, cert *tls.Certificate) (c *tls.Conn, kept bool) {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := tls.DialWithDialer(d, "tcp", w.addr, w.tls(cert))
	if err != nil {
		return nil, false
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("GET " + lease.PathStatus + " HTTP/1.1\r\nHost: gw.example.org\r\n\r\n")); err != nil {
		return c, false
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 100))
	return c, err == nil
}

// TestGateShares: neither one network nor one certificate takes all places, and
// what is left is free again.
func TestGateShares(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) { c.NetworkConnections = 3 })
	w.run(t)
	cert := func() *tls.Certificate { return w.clients.vpn(t, lease.Unlimited) }
	var first *tls.Conn
	for range 3 {
		c, ok := w.greet(t, "127.0.0.41", cert())
		if !ok {
			t.Fatal("a connection within the bound is closed")
		}
		first = c
	}
	if _, ok := w.greet(t, "127.0.0.41", cert()); ok {
		t.Error("a network has four connections where three are allowed")
	}
	if _, ok := w.greet(t, "127.0.0.42", cert()); !ok {
		t.Error("another network is shut out")
	}
	first.Close()
	eventually(t, "the place is free", func() bool { _, ok := w.greet(t, "127.0.0.41", cert()); return ok })

	one, kept := cert(), 0
	for i := range 20 {
		c, ok := w.greet(t, net.IPv4(127, 0, 1, byte(i)).String(), one)
		if ok {
			first, kept = c, kept+1
		}
	}
	if kept != 12 {
		t.Errorf("one certificate has %d connections at once, want 12", kept)
	}
	if _, ok := w.greet(t, "127.0.0.43", cert()); !ok {
		t.Error("another certificate is shut out")
	}
	first.Close()
	eventually(t, "the certificate has a place", func() bool { _, ok := w.greet(t, "127.0.0.44", one); return ok })
}
