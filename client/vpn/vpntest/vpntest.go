// Package vpntest has a provider with gateways for tests of the VPN client: the
// account API as far as the VPN needs it, and lease servers without a data
// plane. All of it is in this process, on loopback.
package vpntest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"sync"
	"testing"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// An Authority is a CA, for servers and clients alike.
type Authority struct {
	Cert *x509.Certificate
	PEM  []byte
	key  crypto.Signer
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	key := ecKey(t)
	root := certs.CA("Example", "localhost", false, time.Now())
	cert := sign(t, root, root, key.Public(), key)
	return &Authority{cert, certs.EncodeCert(cert.Raw), key}
}

// Server returns a certificate for names and addresses.
func (a *Authority) Server(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, name := range names {
		if a, err := netip.ParseAddr(name); err == nil {
			addrs = append(addrs, a)
		}
	}
	tmpl, err := certs.Server(names, addrs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := ecKey(t)
	cert := sign(t, tmpl, a.Cert, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// clientKey is the key of every client: making one takes long, and nothing
// here depends on it.
var clientKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Client returns an anonymous certificate with its key, PEM. It is valid for
// life and up to a day more.
func (a *Authority) Client(t testing.TB, life time.Duration) []byte {
	t.Helper()
	return a.client(t, life, func(*x509.Certificate) {})
}

// ClientUntil is Client with an end to the second.
func (a *Authority) ClientUntil(t testing.TB, end time.Time) []byte {
	t.Helper()
	return a.client(t, time.Hour, func(c *x509.Certificate) { c.NotAfter = end })
}

func (a *Authority) client(t testing.TB, life time.Duration, change func(*x509.Certificate)) []byte {
	t.Helper()
	key, err := clientKey()
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := certs.VPNClient(lease.Unlimited, rand.Reader, life, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	change(tmpl)
	return certs.JoinPEM(key, sign(t, tmpl, a.Cert, key.Public(), a.key).Raw)
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := certs.Create(tmpl, parent, pub, signer, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
