package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"

	"leap.example/services/protocol/problem"
)

// maxPEM is the greatest length of a PEM text that is parsed, bytes.
const maxPEM = 64 << 10

// EncodeKey returns a private key in PKCS#8 PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads one private key in PEM: PKCS#8, or PKCS#1 as JoinPEM writes
// it. Anything else is Invalid.
func ParseKey(data []byte) (crypto.Signer, error) {
	block, err := single(data)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, problem.Invalid.Errorf("malformed private key")
	}
	return signer, nil
}

// EncodeCert returns a certificate in PEM.
func EncodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// ParseCert reads one certificate in PEM. Anything else is Invalid.
func ParseCert(data []byte) (*x509.Certificate, error) {
	block, err := single(data)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || block.Type != "CERTIFICATE" {
		return nil, problem.Invalid.Errorf("malformed certificate")
	}
	return cert, nil
}

// single returns the only block of data.
func single(data []byte) (*pem.Block, error) {
	if len(data) > maxPEM {
		return nil, problem.Invalid.Errorf("PEM has more than %d bytes", maxPEM)
	}
	block, rest := pem.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, problem.Invalid.Errorf("not one PEM block")
	}
	return block, nil
}

// JoinPEM returns the body of the answer to a certificate request: the private
// key in PKCS#1, directly followed by the certificate (leap-protocols.md 3.2).
func JoinPEM(key *rsa.PrivateKey, certDER []byte) []byte {
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return append(pem.EncodeToMemory(block), EncodeCert(certDER)...)
}

// SplitPEM is the inverse of JoinPEM: the PEM of the key and that of the
// certificate. A body that has not exactly one of each, or whose key is not
// the certificate's, is Invalid.
func SplitPEM(body []byte) (key, cert []byte, err error) {
	if len(body) > maxPEM {
		return nil, nil, problem.Invalid.Errorf("PEM has more than %d bytes", maxPEM)
	}
	for {
		var block *pem.Block
		if block, body = pem.Decode(body); block == nil {
			break
		}
		into := &key
		if block.Type == "CERTIFICATE" {
			into = &cert
		}
		if *into != nil {
			return nil, nil, problem.Invalid.Errorf("not one key and one certificate")
		}
		*into = pem.EncodeToMemory(block)
	}
	k, err := ParseKey(key)
	if err != nil {
		return nil, nil, err
	}
	c, err := ParseCert(cert)
	if err != nil {
		return nil, nil, err
	}
	if pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(k.Public()) {
		return nil, nil, problem.Invalid.Errorf("the key is not the certificate's")
	}
	return key, cert, nil
}
