package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/netip"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// CA returns the template of a provider's own CA: of that for servers, or,
// with clientCA, of that for client certificates. name is the provider's name
// in its default language.
func CA(name, domain string, clientCA bool, now time.Time) *x509.Certificate {
	cn := name + " Root CA"
	if clientCA {
		cn += " (client certificates only!)"
	}
	start := yesterday(now)
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: cn, Organization: []string{name}, OrganizationalUnit: []string{"https://" + domain}},
		NotBefore:             start,
		NotAfter:              start.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

// Server returns the template for a node: names are its DNS names, the full
// domain first, ips its addresses. At least one name is required.
func Server(names []string, ips []netip.Addr, now time.Time) (*x509.Certificate, error) {
	if len(names) == 0 {
		return nil, problem.Invalid.Errorf("a server certificate needs a name")
	}
	start := yesterday(now)
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: names[0]},
		NotBefore:             start,
		NotAfter:              start.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
	}
	for _, ip := range ips {
		t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
	}
	return t, nil
}

// VPNClient returns the template of an anonymous certificate. An extension and
// the prefix of the common name tell the plan; after the prefix comes a random
// 128-bit number in base 36, read from random. It is valid for life, or up to a
// day more.
func VPNClient(plan lease.Plan, random io.Reader, life time.Duration, now time.Time) (*x509.Certificate, error) {
	if !known(plan) {
		return nil, problem.Invalid.Errorf("no such plan: %q", plan)
	}
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, err
	}
	extension, err := planExtension(plan)
	if err != nil {
		return nil, err
	}
	t := client(prefix(plan)+new(big.Int).SetBytes(b).Text(36), life, now)
	t.ExtraExtensions = []pkix.Extension{extension}
	return t, nil
}

// SMTPClient returns the template of the certificate by which a user submits
// mail as address. It is valid for life, or up to a day more.
func SMTPClient(address string, life time.Duration, now time.Time) *x509.Certificate {
	return client(address, life, now)
}

func client(cn string, life time.Duration, now time.Time) *x509.Certificate {
	start := yesterday(now)
	end := now.Add(life).UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             start,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
}

// yesterday returns the last midnight but one, UTC (leap-protocols.md 3.1).
func yesterday(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
}

// Create signs tmpl for pub in the name of parent, whose key is signer's; a
// CA is its own parent. A template without a serial number gets a random one.
func Create(tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer, rand io.Reader) (der []byte, err error) {
	return x509.CreateCertificate(rand, tmpl, parent, pub, signer)
}
