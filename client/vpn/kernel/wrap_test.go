package kernel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

// echo is a gateway that sends each datagram back, and hangs up after as many
// as it is told. It returns how it is reached.
func echo(t *testing.T, most int) policy.Link {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"gw1.example.org"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{lease.ALPN},
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
			buf := make([]byte, lease.MaxDatagram)
			for range most {
				n, err := lease.ReadFrame(c, buf)
				if err != nil {
					break
				}
				frame, err := lease.AppendFrame(nil, buf[:n])
				if err == nil {
					_, err = c.Write(frame)
				}
				if err != nil {
					break
				}
			}
			c.Close()
		}
	}()
	return policy.Link{
		Endpoint: ln.Addr().(*net.TCPAddr).AddrPort(),
		Wrap:     &policy.Wrap{ServerName: "gw1.example.org", CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})},
	}
}

// TestWrap sends datagrams through a gateway that hangs up again and again.
func TestWrap(t *testing.T) {
	nettest.Need(t)
	w, err := newWrapper(echo(t, 3), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	c, err := net.Dial("udp", w.local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, lease.MaxDatagram)
	for size := 1; size < lease.MaxDatagram; size += 500 {
		want := bytes.Repeat([]byte{byte(size)}, size)
		nettest.Until(t, "a datagram comes back", func() bool {
			if _, err := c.Write(want); err != nil {
				return false
			}
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(buf)
			return err == nil && bytes.Equal(buf[:n], want)
		})
	}
}

// TestWrapForeign: a gateway of another provider gets nothing.
func TestWrapForeign(t *testing.T) {
	nettest.Need(t)
	l := echo(t, 3)
	l.Wrap.CA = echo(t, 3).Wrap.CA
	w, err := newWrapper(l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.carry(t.Context(), []byte("x")); err == nil {
		t.Error("a foreign gateway is believed")
	}
}
