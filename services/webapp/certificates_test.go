package webapp_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// signSMTP plays the CA.
func (w *world) signSMTP(req record.CertRequest) (string, error) {
	block, _ := pem.Decode([]byte(req.PublicKey))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", err
	}
	cert := w.sign(certs.SMTPClient(req.Address, 24*time.Hour, time.Now()), w.ca, pub, w.caKey)
	return string(certs.EncodeCert(cert.Raw)), nil
}

func TestSMTPCert(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.addUser(2, "bob", func(u *record.User) { u.ServiceLevel = "2" }) // No mail.
	w.stores.SignSMTP = w.signSMTP
	w.start()
	c := w.client()
	post := call{method: "POST", url: w.api + "/1/smtp_cert", token: "alice-token"}
	resp, body := w.do(c, post)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/plain; charset=utf-8" {
		t.Fatalf("%d %s %s", resp.StatusCode, got, body)
	}
	keyPEM, certPEM, err := certs.SplitPEM([]byte(body))
	if err != nil {
		t.Fatalf("as a classic client reads it: %v", err)
	}
	key, err := certs.ParseKey(keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if bits := key.(*rsa.PrivateKey).N.BitLen(); bits != 2048 {
		t.Errorf("key of %d bits", bits)
	}
	cert, err := certs.ParseCert(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	if addr, ok := certs.AddressOf(cert); addr != "alice@example.org" || !ok {
		t.Errorf("certificate of %q", addr)
	}
	want := cert.NotAfter.UTC().Format(time.DateOnly)
	if got := w.identity("alice").CertFingerprints[certs.Fingerprint1(cert.Raw)]; got != want {
		t.Errorf("remembered until %q, want %q", got, want)
	}

	// Expired ones are forgotten when the next one comes.
	id := w.identity("alice")
	id.CertFingerprints["00:11"] = "2001-01-01"
	if err := w.stores.Stores().Identities.Update(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.wantCall(c, post, 200, "-----BEGIN RSA PRIVATE KEY-----…")
	if prints := w.identity("alice").CertFingerprints; len(prints) != 2 || prints["00:11"] != "" {
		t.Errorf("remembered: %v", prints)
	}
	post.token = "bob-token"
	w.wantCall(c, post, 403, notAuthorized)
}

func TestSMTPCertFails(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	var answer func(record.CertRequest) (string, error)
	w.stores.SignSMTP = func(req record.CertRequest) (string, error) { return answer(req) }
	w.start()
	for _, tt := range []struct {
		name   string
		answer func(record.CertRequest) (string, error)
		status int
		want   string
	}{
		{"CA away", func(record.CertRequest) (string, error) {
			return "", problem.Unavailable.Errorf("the CA does not answer")
		}, 503, `{"error":"unavailable","message":"the CA does not answer"}`},
		{"refused", func(record.CertRequest) (string, error) { return "", errors.New("refused") }, 500, `{"error":"The server failed…`},
		{"no certificate", func(record.CertRequest) (string, error) { return "PEM", nil }, 500, `{"error":"The server failed…`},
		{"another address", func(req record.CertRequest) (string, error) {
			req.Address = "mallory@example.org"
			return w.signSMTP(req)
		}, 500, `{"error":"The server failed…`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			answer = tt.answer
			w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/smtp_cert", token: "alice-token"}, tt.status, tt.want)
		})
	}
	w.t = t
	if prints := w.identity("alice").CertFingerprints; len(prints) != 0 {
		t.Errorf("remembered although nothing was given: %v", prints)
	}
}

// TestPlans: what the provider sells and the caller's level decide.
func TestPlans(t *testing.T) {
	for name, tt := range map[string]struct {
		limited, unlimited        bool
		nobody, limitedUser, user string
	}{
		"unlimited": {false, true, "unlimited", "unlimited", "unlimited"},
		"limited":   {true, false, "limited", "limited", "limited"},
		"both":      {true, true, "limited", "limited", "unlimited"},
		"neither":   {false, false, "unlimited", "unlimited", "unlimited"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.provider.Service.AllowAnonymous = true
			w.provider.Service.AllowLimitedBandwidth, w.provider.Service.AllowUnlimitedBandwidth = tt.limited, tt.unlimited
			w.addUser(1, "alice", nil)
			w.addUser(2, "bob", func(u *record.User) { u.ServiceLevel = "2" })
			for _, plan := range []lease.Plan{lease.Limited, lease.Unlimited} {
				for range 3 {
					w.stores.AddCertificate(record.Certificate{Key: string(plan) + "\n", Cert: "CERT\n", Plan: plan, ValidUntil: time.Now().Add(time.Hour)})
				}
			}
			w.start()
			for token, want := range map[string]string{"": tt.nobody, "alice-token": tt.limitedUser, "bob-token": tt.user} {
				w.wantCall(w.client(), call{method: "POST", url: w.api + "/3/cert", token: token}, 200, want+"\nCERT")
			}
		})
	}
}

func TestAnonymousCert(t *testing.T) {
	w := newWorld(t)
	w.provider.Service.AllowAnonymous = true
	w.addUser(1, "alice", nil)
	for _, id := range []string{"1", "2"} {
		w.stores.AddCertificate(record.Certificate{ID: id, Key: "KEY" + id + "\n", Cert: "CERT\n", ValidUntil: time.Now().Add(time.Hour)})
	}
	w.start()
	c := w.client()
	w.wantCall(c, call{method: "POST", url: w.api + "/1/cert"}, 200, "KEY1\nCERT")
	w.wantCall(c, call{method: "POST", url: w.api + "/1/cert", token: "forged"}, 401, notLoggedIn)
	w.wantCall(c, call{method: "GET", url: w.api + "/1/cert", token: "alice-token"}, 200, "KEY2\nCERT")
	resp, _ := w.do(c, call{method: "POST", url: w.api + "/1/cert"})
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("empty pool: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}
