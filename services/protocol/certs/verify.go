package certs

import (
	"crypto/sha1"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// Fingerprint1 returns the SHA-1 of a certificate as lower-case hex with
// colons: the name under which an identity remembers it. It only tells
// certificates of our own CA apart.
func Fingerprint1(der []byte) string {
	sum := sha1.Sum(der)
	return strings.ReplaceAll(fmt.Sprintf("% x", sum[:]), " ", ":")
}

// VerifyClient checks that cert was signed by a CA of roots for a client, and
// is valid now. Otherwise the error is Unauthenticated.
func VerifyClient(cert *x509.Certificate, roots *x509.CertPool, now time.Time) error {
	if roots == nil { // Not the system's.
		return problem.Unauthenticated.Errorf("client certificate: no CA is trusted")
	}
	_, err := cert.Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return problem.Unauthenticated.Errorf("client certificate: %w", err)
	}
	return nil
}

// AddressOf returns the mail address of an SMTP certificate in canonical form;
// ok is false for any other certificate.
func AddressOf(cert *x509.Certificate) (address string, ok bool) {
	a, err := nick.ParseAddress(cert.Subject.CommonName)
	return string(a), err == nil
}
