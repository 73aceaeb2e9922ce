package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func now() time.Time { return time.Date(2026, 3, 4, 15, 16, 17, 0, time.UTC) }

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue signs tmpl and reads it back.
func issue(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := certs.Create(tmpl, parent, pub, signer, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.ParseCert(certs.EncodeCert(der))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ca(t testing.TB, client bool) (*x509.Certificate, crypto.Signer, *x509.CertPool) {
	t.Helper()
	key := ecKey(t)
	tmpl := certs.CA("Example", "example.org", client, now())
	c := issue(t, tmpl, tmpl, key.Public(), key)
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return c, key, pool
}

func TestCA(t *testing.T) {
	c, _, _ := ca(t, false)
	if got, want := c.Subject.String(), "CN=Example Root CA,OU=https://example.org,O=Example"; got != want {
		t.Errorf("subject %s, want %s", got, want)
	}
	if got := c.NotBefore.Format(time.RFC3339); got != "2026-03-03T00:00:00Z" {
		t.Errorf("begins %s", got)
	}
	if got := c.NotAfter.Format(time.RFC3339); got != "2036-03-03T00:00:00Z" {
		t.Errorf("ends %s", got)
	}
	if !c.IsCA || c.KeyUsage != x509.KeyUsageCertSign || c.SerialNumber.Int64() != 1 {
		t.Errorf("not the profile of a CA: %+v", c)
	}
	if c, _, _ := ca(t, true); !strings.HasSuffix(c.Subject.CommonName, " Root CA (client certificates only!)") {
		t.Errorf("client CA is called %s", c.Subject.CommonName)
	}
}

func TestServer(t *testing.T) {
	parent, signer, roots := ca(t, false)
	tmpl, err := certs.Server([]string{"api.example.org", "example.org"}, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, now())
	if err != nil {
		t.Fatal(err)
	}
	c := issue(t, tmpl, parent, ecKey(t).Public(), signer)
	for name, ok := range map[string]bool{
		"api.example.org": true, "example.org": true, "192.0.2.1": true, "2001:db8::1": true, "other.org": false, "192.0.2.2": false,
	} {
		_, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now()})
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now().AddDate(1, 0, 0)}); err == nil {
		t.Error("valid for more than a year")
	}
	if _, err := certs.Server(nil, nil, now()); !errors.Is(err, problem.Invalid) {
		t.Errorf("without a name: %v", err)
	}
}

func TestClients(t *testing.T) {
	parent, signer, roots := ca(t, true)
	_, _, others := ca(t, true)
	key := rsaKey(t)
	vpn, err := certs.VPNClient(lease.Limited, rand.Reader, 48*time.Hour, now())
	if err != nil {
		t.Fatal(err)
	}
	vpn2, err := certs.VPNClient(lease.Limited, rand.Reader, 48*time.Hour, now())
	if err != nil {
		t.Fatal(err)
	}
	if vpn.Subject.CommonName == vpn2.Subject.CommonName || !strings.HasPrefix(vpn.Subject.CommonName, "LIMITED") {
		t.Errorf("names %s, %s", vpn.Subject.CommonName, vpn2.Subject.CommonName)
	}
	if _, err := certs.VPNClient(lease.Limited, strings.NewReader(""), time.Hour, now()); err == nil {
		t.Error("made without randomness")
	}
	if _, err := certs.VPNClient("golden", rand.Reader, time.Hour, now()); !errors.Is(err, problem.Invalid) {
		t.Errorf("an unknown plan: %v", err)
	}
	smtp := certs.SMTPClient("alice@example.org", 48*time.Hour, now())
	serials := map[string]bool{}
	for name, tmpl := range map[string]*x509.Certificate{"vpn": vpn, "smtp": smtp} {
		c := issue(t, tmpl, parent, key.Public(), signer)
		serials[c.SerialNumber.String()] = true
		if err := certs.VerifyClient(c, roots, now().Add(48*time.Hour)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, err := range map[string]error{
			"another CA": certs.VerifyClient(c, others, now()),
			"no CA":      certs.VerifyClient(c, nil, now()),
			"too late":   certs.VerifyClient(c, roots, now().Add(72*time.Hour)),
			"too early":  certs.VerifyClient(c, roots, now().AddDate(0, 0, -3)),
		} {
			if !errors.Is(err, problem.Unauthenticated) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now()}); err == nil {
			t.Errorf("%s: good for a server", name)
		}
		if h := c.NotAfter.Sub(c.NotAfter.Truncate(24 * time.Hour)); h != 0 {
			t.Errorf("%s: ends at %s", name, c.NotAfter)
		}
		a, ok := certs.AddressOf(c)
		if ok != (name == "smtp") || ok && a != "alice@example.org" {
			t.Errorf("%s: address %q, %v", name, a, ok)
		}
	}
	if len(serials) != 2 {
		t.Error("two certificates have one serial number")
	}
}

func TestPlanOf(t *testing.T) {
	parent, signer, _ := ca(t, true)
	pub := ecKey(t).Public()
	made := func(spoil func(c *x509.Certificate)) *x509.Certificate {
		tmpl, err := certs.VPNClient(lease.Limited, rand.Reader, time.Hour, now())
		if err != nil {
			t.Fatal(err)
		}
		spoil(tmpl)
		return issue(t, tmpl, parent, pub, signer)
	}
	named := func(cn string) func(c *x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions, c.Subject.CommonName = nil, cn }
	}
	value := func(b ...byte) func(c *x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions[0].Value = b }
	}
	for name, tt := range map[string]struct {
		spoil func(c *x509.Certificate)
		want  lease.Plan
	}{
		"as made":           {func(*x509.Certificate) {}, lease.Limited},
		"extension wins":    {func(c *x509.Certificate) { c.Subject.CommonName = "UNLIMITEDx" }, lease.Limited},
		"classic limited":   {named("LIMITEDx"), lease.Limited},
		"classic unlimited": {named("UNLIMITEDx"), lease.Unlimited},
		"no plan":           {named("x"), ""},
		"mail":              {named("unlimited@example.org"), ""},
		"mail with a plan":  {func(c *x509.Certificate) { c.Subject.CommonName = "alice@example.org" }, ""},
		"unknown plan":      {value(0x0c, 1, 'x'), ""},
		"empty":             {value(), ""},
		"other type":        {value(0x13, 7, 'l', 'i', 'm', 'i', 't', 'e', 'd'), ""},
		"tail":              {value(0x0c, 7, 'l', 'i', 'm', 'i', 't', 'e', 'd', 0), ""},
	} {
		got, err := certs.PlanOf(made(tt.spoil))
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, problem.Permission) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

func TestPEM(t *testing.T) {
	parent, signer, _ := ca(t, true)
	key := rsaKey(t)
	c := issue(t, certs.SMTPClient("a@b", time.Hour, now()), parent, key.Public(), signer)
	body := certs.JoinPEM(key, c.Raw)
	if !bytes.HasPrefix(body, []byte("-----BEGIN RSA PRIVATE KEY-----")) {
		t.Errorf("body begins %.40s", body)
	}
	k, crt, err := certs.SplitPEM(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(crt, k); err != nil {
		t.Error(err)
	}
	// The other order and text around it are what other servers may send.
	if _, _, err := certs.SplitPEM(append([]byte("text\n"+string(crt)), k...)); err != nil {
		t.Errorf("other order: %v", err)
	}
	stranger := certs.JoinPEM(rsaKey(t), c.Raw)
	for name, body := range map[string][]byte{
		"empty":         nil,
		"key alone":     k,
		"cert alone":    crt,
		"two certs":     append(bytes.Clone(body), crt...),
		"two keys":      append(bytes.Clone(body), k...),
		"stranger":      stranger,
		"too long":      append(bytes.Clone(body), make([]byte, 64<<10)...),
		"broken base64": bytes.Replace(body, []byte("MII"), []byte("***"), 1),
	} {
		if _, _, err := certs.SplitPEM(body); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, key := range map[string]crypto.Signer{"P-256": ecKey(t), "RSA": key} {
		data, err := certs.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := certs.ParseKey(data)
		if err != nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := certs.ParseKey(append(data, data...)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s twice: %v", name, err)
		}
		if _, err := certs.ParseCert(data); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s as certificate: %v", name, err)
		}
	}
	if _, err := certs.ParseKey(crt); !errors.Is(err, problem.Invalid) {
		t.Errorf("certificate as key: %v", err)
	}
	if _, err := certs.ParseCert(make([]byte, 64<<10+1)); !errors.Is(err, problem.Invalid) {
		t.Errorf("too long: %v", err)
	}
}

func TestFingerprint1(t *testing.T) {
	// SHA-1 of "abc", FIPS 180.
	if got := certs.Fingerprint1([]byte("abc")); got != "a9:99:3e:36:47:06:81:6a:ba:3e:25:71:78:50:c2:6c:9c:d0:d8:9d" {
		t.Errorf("got %s", got)
	}
}

// FuzzSplitPEM: what is accepted is a pair that TLS can use.
func FuzzSplitPEM(f *testing.F) {
	parent, signer, _ := ca(f, true)
	key := rsaKey(f)
	c := issue(f, certs.SMTPClient("a@b", time.Hour, now()), parent, key.Public(), signer)
	f.Add(certs.JoinPEM(key, c.Raw))
	f.Add(certs.EncodeCert(c.Raw))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		k, crt, err := certs.SplitPEM(body)
		if err != nil {
			if !errors.Is(err, problem.Invalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if _, err := tls.X509KeyPair(crt, k); err != nil {
			t.Error(err)
		}
	})
}
