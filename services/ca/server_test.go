package ca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/ca"
	"leap.example/services/daemon"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA on disk.
type authority struct {
	cfg  ca.Config
	cert *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := certs.CA("Example", "example.org", true, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := certs.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return authority{ca.Config{
		Domain:   "example.org",
		KeyFile:  write(t, dir, "ca.key", keyPEM),
		CertFile: write(t, dir, "ca.crt", certs.EncodeCert(der)),
		PoolSize: 2,
	}, cert}
}

func write(t *testing.T, dir, name string, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, cfg ca.Config, store ca.Certificates) (s *ca.Server, stop func()) {
	t.Helper()
	s, err := ca.New(cfg, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	good := ca.Config{Domain: "example.org", KeyFile: "k", CertFile: "c"}
	if err := good.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for name, change := range map[string]func(*ca.Config){
		"domain":    func(c *ca.Config) { c.Domain = "" },
		"key_file":  func(c *ca.Config) { c.KeyFile = "" },
		"cert_file": func(c *ca.Config) { c.CertFile = "" },
		"pool_size": func(c *ca.Config) { c.PoolSize = -1 },
		"vpn_life":  func(c *ca.Config) { c.VPNLife = "10" },
		"smtp_life": func(c *ca.Config) { c.SMTPLife = "1s" },
		"prefix":    func(c *ca.Config) { c.Prefix = "ADMIN" },
		"plans":     func(c *ca.Config) { c.Plans = []lease.Plan{"fast"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := ca.New(cfg, nil, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		name   string
		change func(*ca.Config)
		fatal  bool
	}{
		{"missing", func(c *ca.Config) { c.KeyFile = filepath.Join(dir, "none") }, false},
		{"no key", func(c *ca.Config) { c.KeyFile = write(t, dir, "bad.key", []byte("secret")) }, true},
		{"no certificate", func(c *ca.Config) { c.CertFile = c.KeyFile }, true},
		{"another CA's key", func(c *ca.Config) { c.KeyFile = other.cfg.KeyFile }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := a.cfg
			tt.change(&cfg)
			s, err := ca.New(cfg, newMemory(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			err = s.Run(t.Context())
			if err == nil || errors.Is(err, daemon.ErrFatal) != tt.fatal {
				t.Errorf("Run: %v, want fatal = %v", err, tt.fatal)
			}
		})
	}
}

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		m := newMemory()
		s, stop := run(t, a.cfg, m)
		defer stop()
		synctest.Wait()
		if n := m.size(); n != 2 {
			t.Fatalf("pool has %d entries, want 2", n)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
		entry, err := m.Take(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := m.size(); n != 2 {
			t.Errorf("pool has %d entries after one was taken, want 2", n)
		}
		checkEntry(t, a, entry)
	})
}

// TestPlans: each plan has a pool, and its certificates tell it.
func TestPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		a.cfg.Plans = []lease.Plan{lease.Unlimited, lease.Limited}
		m := newMemory()
		_, stop := run(t, a.cfg, m)
		defer stop()
		for range 3 { // Each one that is taken is made up for.
			synctest.Wait()
			for _, plan := range a.cfg.Plans {
				if n, err := m.Count(t.Context(), plan); n != 2 || err != nil {
					t.Fatalf("the pool has %d of plan %s, %v, want 2", n, plan, err)
				}
				entry, err := m.Take(t.Context(), plan)
				if err != nil {
					t.Fatal(err)
				}
				cert, err := certs.ParseCert([]byte(entry.Cert))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := certs.PlanOf(cert); got != plan || err != nil || !strings.HasPrefix(cert.Subject.CommonName, strings.ToUpper(string(plan))) {
					t.Errorf("a certificate of %s says %q, %v, and is called %s", plan, got, err, cert.Subject.CommonName)
				}
			}
		}
	})
}

func checkEntry(t *testing.T, a authority, entry record.Certificate) {
	t.Helper()
	if _, _, err := certs.SplitPEM([]byte(entry.Key + entry.Cert)); err != nil {
		t.Fatalf("as a classic client reads it: %v", err)
	}
	cert, err := certs.ParseCert([]byte(entry.Cert))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	if err := certs.VerifyClient(cert, roots, time.Now()); err != nil {
		t.Error(err)
	}
	if cn := cert.Subject.CommonName; !strings.HasPrefix(cn, "UNLIMITED") || len(cn) < 30 {
		t.Errorf("common name %q", cn)
	}
	if left := time.Until(cert.NotAfter); left < 7*24*time.Hour || left > 8*24*time.Hour {
		t.Errorf("valid for %v, want seven days", left)
	}
	if !cert.NotAfter.Equal(entry.ValidUntil) {
		t.Errorf("valid until %v, the entry says %v", cert.NotAfter, entry.ValidUntil)
	}
}

func TestOldEntriesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		m := newMemory()
		for range 2 {
			m.pool = append(m.pool, record.Certificate{Plan: lease.Unlimited, ValidUntil: time.Now().Add(90 * time.Hour)})
		}
		_, stop := run(t, a.cfg, m)
		defer stop()
		time.Sleep(5 * time.Minute)
		if n := m.additions(); n != 2 { // Looked at and put back.
			t.Errorf("%d entries added, want 2", n)
		}
		time.Sleep(14 * time.Hour) // 84 hours, half of the life, are reached.
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.pool) != 2 {
			t.Fatalf("pool has %d entries, want 2", len(m.pool))
		}
		for _, c := range m.pool {
			if c.Cert == "" {
				t.Error("an old entry is still there")
			}
		}
	})
}

func TestDatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t) // In the fake time.
		m := newMemory()
		m.down = true
		s, stop := run(t, a.cfg, m)
		defer stop()
		time.Sleep(time.Hour)
		if err := s.Check(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("Check: %v, want %v", err, errDown)
		}
		m.update(func() { m.down = false })
		time.Sleep(5 * time.Minute)
		if n := m.size(); n != 2 {
			t.Errorf("pool has %d entries, want 2", n)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
		stop()
		_, stop = run(t, a.cfg, m) // A new process finds the pool full.
		defer stop()
		synctest.Wait()
		if n := m.additions(); n != 2 {
			t.Errorf("%d entries made, want 2", n)
		}
	})
}
