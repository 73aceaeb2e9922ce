package dev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leap.example/appliance/durable"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/provider"
)

// renewBefore is how long before its end a server certificate is made anew.
const renewBefore = 60 * 24 * time.Hour

// Ensure makes every file of p that is missing, and rewrites the documents
// that follow from the base port.
func (p Provider) Ensure() error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	ca, key, err := p.ca("ca", false)
	if err != nil {
		return fmt.Errorf("provider CA: %w", err)
	}
	if _, _, err := p.ca("client_ca", true); err != nil {
		return fmt.Errorf("client CA: %w", err)
	}
	if err := p.leaf(ca, key, "server", p.hostNames()); err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	if err := p.peers(); err != nil {
		return fmt.Errorf("database nodes: %w", err)
	}
	if err := p.gatewayFiles(); err != nil {
		return fmt.Errorf("gateways: %w", err)
	}
	for _, a := range Accounts {
		if err := p.once(random, "passwords", a.Name); err != nil {
			return err
		}
	}
	makers := []struct {
		make func() ([]byte, error)
		path []string
	}{
		{invite, []string{"invite"}},
		{random, []string{"admin.password"}},
		{random, []string{"webapp", "secret"}},
		{random, []string{"webapp", "monitor.token"}},
		{hexKey, []string{"bigcouch", "store.key"}},
		{hexKey, []string{"mx", "queue.secret"}},
		{hexKey, []string{"relay", "queue.key"}},
		{func() ([]byte, error) { return signingKey(p.Domain) }, []string{"mx", "signing.key"}},
		{rsaKey, []string{"relay", "dkim-rsa.pem"}},
		{ed25519Key, []string{"relay", "dkim-ed25519.pem"}},
	}
	for _, m := range makers {
		if err := p.once(m.make, m.path...); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(m.path...), err)
		}
	}
	if err := p.mxPublicKey(); err != nil {
		return fmt.Errorf("the MX's public key: %w", err)
	}
	return p.documents()
}

// once writes what f makes to a file, unless the file is there.
func (p Provider) once(f func() ([]byte, error), elem ...string) error {
	path := p.Path(elem...)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := f()
	if err != nil {
		return err
	}
	return write(path, data)
}

// write writes a file that its owner alone reads.
func write(path string, data []byte) error { return durable.WriteFile(path, data, 0o600) }

// writeJSON writes v as a document.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return write(path, append(data, '\n'))
}

// random returns 24 random bytes as hex: a password of a machine.
func random() ([]byte, error) {
	var b [24]byte
	rand.Read(b[:]) // Never fails.
	return []byte(hex.EncodeToString(b[:])), nil
}

// hexKey returns 32 random bytes as hex.
func hexKey() ([]byte, error) {
	var b [32]byte
	rand.Read(b[:]) // Never fails.
	return []byte(hex.EncodeToString(b[:])), nil
}

// invite returns a code "xxxx-xxxx" of letters and digits that are not mistaken.
func invite() ([]byte, error) {
	var b [5]byte
	rand.Read(b[:]) // Never fails.
	code := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return []byte(code[:4] + "-" + code[4:]), nil
}

func rsaKey() ([]byte, error) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return certs.EncodeKey(k)
}

func ed25519Key() ([]byte, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return certs.EncodeKey(k)
}

// signingKey makes the OpenPGP key that signs envelopes.
func signingKey(domain string) ([]byte, error) {
	k, err := envelope.NewSigningKey("mx."+domain, rand.Reader, time.Now())
	if err != nil {
		return nil, err
	}
	armored, err := k.Private()
	return []byte(armored), err
}

// mxPublicKey writes the public half, which clients fetch from the API.
func (p Provider) mxPublicKey() error {
	armored, err := os.ReadFile(p.Path("mx", "signing.key"))
	if err != nil {
		return err
	}
	k, err := envelope.ParseSigningKey(string(armored))
	if err != nil {
		return err
	}
	public, err := k.Public()
	if err != nil {
		return err
	}
	return write(p.Path("mx", "signing.pub"), []byte(public))
}

// ca returns a certificate authority, making it if it is missing.
func (p Provider) ca(name string, client bool) (*x509.Certificate, crypto.Signer, error) {
	keyPath, certPath := p.Path("ca", name+".key"), p.Path("ca", name+".crt")
	if cert, key, err := readPair(certPath, keyPath); !errors.Is(err, fs.ErrNotExist) {
		return cert, key, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	tmpl := certs.CA("LEAP demo", p.Domain, client, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if err := writePair(certPath, keyPath, der, key); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// hostNames returns the full names of the provider's hosts.
func (p Provider) hostNames() (names []string) {
	for _, h := range Hosts {
		names = append(names, strings.TrimPrefix(h+"."+p.Domain, "."))
	}
	return names
}

// leaf makes a certificate for names on loopback, and renews it in time.
func (p Provider) leaf(ca *x509.Certificate, caKey crypto.Signer, file string, names []string) error {
	keyPath, certPath := p.Path("certs", file+".key"), p.Path("certs", file+".crt")
	now := time.Now()
	cert, _, err := readPair(certPath, keyPath)
	if err == nil && now.Add(renewBefore).Before(cert.NotAfter) && cert.CheckSignatureFrom(ca) == nil {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl, err := certs.Server(names, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, now)
	if err != nil {
		return err
	}
	der, err := certs.Create(tmpl, ca, key.Public(), caKey, rand.Reader)
	if err != nil {
		return err
	}
	return writePair(certPath, keyPath, der, key)
}

func writePair(certPath, keyPath string, der []byte, key crypto.Signer) error {
	pemKey, err := certs.EncodeKey(key)
	if err != nil {
		return err
	}
	// The certificate last: it is what readPair finds missing after a crash.
	return errors.Join(write(keyPath, pemKey), write(certPath, certs.EncodeCert(der)))
}

func readPair(certPath, keyPath string) (*x509.Certificate, crypto.Signer, error) {
	certPEM, err := os.ReadFile(certPath)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, nil, err
	}
	cert, err := certs.ParseCert(certPEM)
	if err != nil {
		return nil, nil, err
	}
	key, err := certs.ParseKey(keyPEM)
	return cert, key, err
}

// fingerprint returns that of the provider's CA, as provider.json has it.
func (p Provider) fingerprint() (string, error) {
	data, err := os.ReadFile(p.Path("ca", "ca.crt"))
	if err != nil {
		return "", err
	}
	cert, err := certs.ParseCert(data)
	if err != nil {
		return "", err
	}
	return provider.FingerprintOf(cert.Raw), nil
}
