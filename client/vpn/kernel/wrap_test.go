package kernel

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/protocol/lease"
)

// echo is a gateway of a that sends each datagram back, and hangs up after as
// many as it is told. It returns how it is reached.
func echo(t *testing.T, a *vpntest.Authority, most int) policy.Link {
	t.Helper()
	clients := x509.NewCertPool()
	clients.AddCert(a.Cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.Server(t, "gw1.example.org")}, NextProtos: []string{lease.ALPN},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			repeat(c, most)
			c.Close()
		}
	}()
	return policy.Link{
		Endpoint: ln.Addr().(*net.TCPAddr).AddrPort(),
		Wrap:     &policy.Wrap{ServerName: "gw1.example.org", CA: a.PEM, Pair: policy.PairOf(a.Client(t, time.Hour))},
	}
}

func repeat(c net.Conn, most int) {
	buf := make([]byte, lease.MaxDatagram)
	for range most {
		n, err := lease.ReadFrame(c, buf)
		if err != nil {
			return
		}
		frame, err := lease.AppendFrame(nil, buf[:n])
		if err != nil {
			return
		}
		if _, err := c.Write(frame); err != nil {
			return
		}
	}
}

// TestWrap sends datagrams through a gateway that hangs up again and again.
func TestWrap(t *testing.T) {
	nettest.Need(t)
	l := echo(t, vpntest.NewAuthority(t), 3)
	var own atomic.Uint32
	w, err := newWrapper(l, func() (uint16, error) { return uint16(own.Load()), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	other := l
	other.Endpoint = w.local
	if !w.same(l) || w.same(other) || w.same(policy.Link{Endpoint: l.Endpoint}) {
		t.Error("a wrapper does not know what it is for")
	}
	c, err := net.Dial("udp", w.local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	own.Store(uint32(c.LocalAddr().(*net.UDPAddr).Port))
	thief, err := net.Dial("udp", w.local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	buf := make([]byte, lease.MaxDatagram)
	for size := 1; size < lease.MaxDatagram; size += 500 {
		want := bytes.Repeat([]byte{byte(size)}, size)
		nettest.Until(t, "a datagram comes back", func() bool {
			if _, err := c.Write(want); err != nil {
				return false
			}
			if _, err := thief.Write([]byte("another user's")); err != nil {
				return false
			}
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(buf)
			return err == nil && bytes.Equal(buf[:n], want)
		})
	}
	_ = thief.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := thief.Read(buf); err == nil {
		t.Errorf("another process gets %q", buf[:n])
	}
}
