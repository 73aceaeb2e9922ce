package vpn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// gatewayName is what the certificate of every gateway shows.
const gatewayName = "gw.example.org"

// A pki is the provider's certificates, and files of those that servers read.
type pki struct {
	w         *world
	servers   []byte // CA, PEM.
	clientCA  *x509.Certificate
	clientKey crypto.Signer // Of that CA.
	key       crypto.Signer // Of all users: one is enough.
}

// Files of a pki.
const (
	serverCAFile = "servers.crt"
	clientCAFile = "clients.crt"
	certFile     = "server.crt"
	keyFile      = "server.key"
	wgKeyFile    = "wg.key"
)

func newPKI(w *world) *pki {
	w.Helper()
	p := &pki{w: w}
	ca, caKey := p.ca(false)
	p.clientCA, p.clientKey = p.ca(true)
	p.servers = certs.EncodeCert(ca.Raw)
	tmpl, err := certs.Server([]string{gatewayName}, []netip.Addr{netip.MustParseAddr(entry)}, time.Now())
	w.must(err)
	key := p.newKey()
	cert := p.sign(tmpl, ca, key.Public(), caKey)
	keyPEM, err := certs.EncodeKey(key)
	w.must(err)
	wg, err := gatewaytest.NewKey().MarshalText()
	w.must(err)
	for name, data := range map[string][]byte{
		serverCAFile: p.servers, clientCAFile: certs.EncodeCert(p.clientCA.Raw),
		certFile: certs.EncodeCert(cert.Raw), keyFile: keyPEM, wgKeyFile: wg,
	} {
		p.write(name, data)
	}
	p.key = p.newKey()
	return p
}

// file is the path of a file.
func (p *pki) file(name string) string { return filepath.Join(p.w.dir, name) }

func (p *pki) write(name string, data []byte) { p.w.must(os.WriteFile(p.file(name), data, 0o600)) }

func (p *pki) newKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.w.must(err)
	return key
}

func (p *pki) ca(client bool) (*x509.Certificate, crypto.Signer) {
	key := p.newKey()
	tmpl := certs.CA("Example", "example.org", client, time.Now())
	return p.sign(tmpl, tmpl, key.Public(), key), key
}

func (p *pki) sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	der, err := certs.Create(tmpl, parent, pub, signer, rand.Reader)
	p.w.must(err)
	cert, err := x509.ParseCertificate(der)
	p.w.must(err)
	return cert
}

// user issues an anonymous certificate, with its key, in PEM.
func (p *pki) user(plan lease.Plan) []byte {
	p.w.Helper()
	tmpl, err := certs.VPNClient(plan, rand.Reader, 7*24*time.Hour, time.Now())
	p.w.must(err)
	key, err := certs.EncodeKey(p.key)
	p.w.must(err)
	return append(key, certs.EncodeCert(p.sign(tmpl, p.clientCA, p.key.Public(), p.clientKey).Raw)...)
}
