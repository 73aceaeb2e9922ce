package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/record"
)

func publicPEM(t *testing.T, pub crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func ecKey(t *testing.T, curve elliptic.Curve) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return publicPEM(t, key.Public())
}

func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return publicPEM(t, key.Public())
}

func TestRequests(t *testing.T) {
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := ecKey(t, elliptic.P256())
	tests := []struct {
		name, address, key string
		age                time.Duration
		refused            string // "": signed.
	}{
		{"ecdsa", "alice@example.org", p256, 0, ""},
		{"rsa", "bob@example.org", rsaKey(t, 2048), time.Minute, ""},
		{"short rsa", "alice@example.org", rsaKey(t, 1024), 0, "RSA key of 1024 bits"},
		{"other curve", "alice@example.org", ecKey(t, elliptic.P384()), 0, "not on P-256"},
		{"other algorithm", "alice@example.org", publicPEM(t, edKey), 0, "neither RSA nor ECDSA"},
		{"no key", "alice@example.org", "", 0, "not one public key"},
		{"no PKIX", "alice@example.org", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0, "malformed public key"},
		{"two keys", "alice@example.org", p256 + p256, 0, "not one public key"},
		{"long", "alice@example.org", strings.Repeat("x", 5000), 0, "more than"},
		{"foreign address", "alice@example.com", p256, 0, "not in example.org"},
		{"subdomain", "alice@mail.example.org", p256, 0, "not in example.org"},
		{"not canonical", "Alice@example.org", p256, 0, "canonical"},
		{"no address", "UNLIMITED", p256, 0, "malformed mail address"},
		{"old", "alice@example.org", p256, time.Hour, "older than"},
	}
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		m := newMemory()
		for _, tt := range tests {
			m.requests[tt.name] = record.CertRequest{
				ID: tt.name, Address: tt.address, PublicKey: tt.key, CreatedAt: time.Now().Add(-tt.age),
			}
		}
		_, stop := run(t, a.cfg, m)
		synctest.Wait()
		stop()
		for _, tt := range tests {
			got := m.answer(tt.name)
			switch {
			case tt.refused == "":
				checkAnswer(t, a, got)
			case got.Cert != "" || !strings.Contains(got.Error, tt.refused):
				t.Errorf("%s: refusal %q (certificate: %v), want %q", tt.name, got.Error, got.Cert != "", tt.refused)
			}
		}
	})
}

func checkAnswer(t *testing.T, a authority, got record.CertRequest) {
	t.Helper()
	cert, err := certs.ParseCert([]byte(got.Cert))
	if err != nil {
		t.Fatalf("%s: %v (refusal %q)", got.ID, err, got.Error)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	if err := certs.VerifyClient(cert, roots, time.Now()); err != nil {
		t.Error(err)
	}
	if addr, ok := certs.AddressOf(cert); !ok || addr != got.Address {
		t.Errorf("certificate of %q, want %q", addr, got.Address)
	}
	if publicPEM(t, cert.PublicKey) != got.PublicKey {
		t.Error("certificate of another key")
	}
	if left := time.Until(cert.NotAfter); left < 30*24*time.Hour || left > 31*24*time.Hour {
		t.Errorf("valid for %v, want thirty days", left)
	}
}

// A request put while the CA runs is answered at once; one that cannot be
// stored is answered later; one that vanished disturbs nobody.
func TestRequestsWhileRunning(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		m := newMemory()
		s, stop := run(t, a.cfg, m)
		defer stop()
		synctest.Wait()
		m.request(record.CertRequest{ID: "1", Address: "alice@example.org", PublicKey: key, CreatedAt: time.Now()})
		synctest.Wait() // No fake time passes.
		if m.answer("1").Cert == "" {
			t.Error("not answered")
		}
		m.update(func() { m.readOnly = true })
		m.request(record.CertRequest{ID: "2", Address: "alice@example.org", PublicKey: key, CreatedAt: time.Now()})
		time.Sleep(time.Minute)
		if err := s.Check(t.Context()); err == nil {
			t.Error("healthy although answers cannot be stored")
		}
		m.update(func() { m.readOnly = false })
		time.Sleep(2 * time.Minute)
		if m.answer("2").Cert == "" {
			t.Error("not answered after the database came back")
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}
