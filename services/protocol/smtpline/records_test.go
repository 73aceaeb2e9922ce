package smtpline_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"leap.example/services/protocol/smtpline"
)

// tapped is a connection of which all that is read is fed to Records.
type tapped struct {
	net.Conn
	seen smtpline.Records
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.seen.Feed(b[:n])
	return n, err
}

// TestRecords lets a real client say data, and then goodbye.
func TestRecords(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a, b := net.Pipe()
		tap := &tapped{Conn: b}
		tap.seen.Feed([]byte("EHLO peer\r\nSTARTTLS\r\n"))
		s := tls.Server(tap, server)
		done := make(chan error)
		go func() {
			c := tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			_, err := c.Write([]byte("hello"))
			if err == nil {
				<-done
				err = c.Close()
			}
			done <- err
		}()
		if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if tap.seen.MayEnd() {
			t.Errorf("%s: data looks like the end", tls.VersionName(version))
		}
		done <- nil
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: read gives %v, want EOF", tls.VersionName(version), err)
		}
		if !tap.seen.MayEnd() {
			t.Errorf("%s: the end does not look like one", tls.VersionName(version))
		}
		if err := <-done; err != nil {
			t.Errorf("%s: client: %v", tls.VersionName(version), err)
		}
	}
}

// FuzzRecords: how the octets are cut does not matter.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{21, 3, 3, 0, 2, 1, 0}, 3)
	f.Add([]byte{22, 3, 3, 0, 0, 23, 3, 3, 0, 19}, 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, parts smtpline.Records
		whole.Feed(in)
		if n := len(in); n > 0 {
			cut = int(uint(cut) % uint(n))
		} else {
			cut = 0
		}
		parts.Feed(in[:cut])
		parts.Feed(in[cut:])
		whole.Feed([]byte{0})
		parts.Feed([]byte{0})
		if whole != parts {
			t.Fatalf("%x cut at %d: %+v, whole %+v", in, cut, parts, whole)
		}
	})
}
