package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"leap.example/services/daemon"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const rsaBits = 2048

// An authority is the CA's certificate and key. It has no String method and is
// never logged.
type authority struct {
	cert   *x509.Certificate
	signer crypto.Signer
}

// loadAuthority reads certificate and key and checks that they belong
// together. Files that cannot be read may appear later; what is wrong inside
// them needs an operator, hence daemon.ErrFatal.
func loadAuthority(cfg Config) (*authority, error) {
	certPEM, err := os.ReadFile(cfg.CertFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	cert, err := certs.ParseCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", daemon.ErrFatal, cfg.CertFile, err)
	}
	signer, err := certs.ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", daemon.ErrFatal, cfg.KeyFile, err)
	}
	switch pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); {
	case !ok || !pub.Equal(signer.Public()):
		return nil, fmt.Errorf("%w: %s is not the key of %s", daemon.ErrFatal, cfg.KeyFile, cfg.CertFile)
	case !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%w: %s is not the certificate of a CA", daemon.ErrFatal, cfg.CertFile)
	case time.Now().After(cert.NotAfter):
		return nil, fmt.Errorf("%w: %s has expired", daemon.ErrFatal, cfg.CertFile)
	}
	return &authority{cert, signer}, nil
}

// sign signs tmpl for pub. Nothing outlives the CA.
func (a *authority) sign(tmpl *x509.Certificate, pub crypto.PublicKey) (certPEM string, err error) {
	if tmpl.NotAfter.After(a.cert.NotAfter) {
		tmpl.NotAfter = a.cert.NotAfter
	}
	der, err := certs.Create(tmpl, a.cert, pub, a.signer, rand.Reader)
	if err != nil {
		return "", err
	}
	return string(certs.EncodeCert(der)), nil
}

// checkAddress refuses, as Invalid, what is not a canonical address in domain.
func checkAddress(address, domain string) error {
	a, err := nick.ParseAddress(address)
	if err != nil {
		return err
	}
	if string(a) != address {
		return problem.Invalid.Errorf("address is not in canonical form")
	}
	if a.Domain() != domain {
		return problem.Invalid.Errorf("address is not in %s", domain)
	}
	return nil
}

// parsePublicKey reads a public key in PKIX PEM and refuses, as Invalid, what
// is too weak or too large to sign.
func parsePublicKey(text string) (crypto.PublicKey, error) {
	const limit = 4 << 10 // RSA 4096 has 800 bytes.
	if len(text) > limit {
		return nil, problem.Invalid.Errorf("public key has more than %d bytes", limit)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) > 0 || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 {
		return nil, problem.Invalid.Errorf("not one public key in PEM")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, problem.Invalid.Errorf("malformed public key")
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < rsaBits || n > 4096 || pub.E < 65537 || pub.E%2 == 0 {
			return nil, problem.Invalid.Errorf("RSA key of %d bits, exponent %d is not accepted", n, pub.E)
		}
		return pub, nil
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, problem.Invalid.Errorf("ECDSA key is not on P-256")
		}
		return pub, nil
	}
	return nil, problem.Invalid.Errorf("public key is neither RSA nor ECDSA")
}
