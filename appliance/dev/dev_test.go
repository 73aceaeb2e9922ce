package dev_test

import (
	"bytes"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/appliance/dev"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
)

// TestEnsureTwice checks that a second start finds the same provider, and that
// its documents and certificates belong together.
func TestEnsureTwice(t *testing.T) {
	p := dev.Provider{Dir: filepath.Join(t.TempDir(), "dev"), Domain: "demo.example", Base: 21000}
	if err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	first := files(t, p.Dir)
	p.Base = 22000
	if err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, p.Dir) {
		follows := name == "provider.json" || strings.HasPrefix(name, "service-definitions/")
		if same := bytes.Equal(data, first[name]); same == follows {
			t.Errorf("%s: unchanged = %v after a change of the base port", name, same)
		}
	}
	doc, err := provider.Parse(read(t, p.Path("provider.json")))
	if err != nil {
		t.Fatal(err)
	}
	ca := cert(t, p.Path("ca", "ca.crt"))
	if err := provider.CheckFingerprint(doc.CACertFingerprint, ca.Raw); err != nil {
		t.Error(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, host := range []string{"demo.example", "api.demo.example", "nicknym.demo.example", "127.0.0.1"} {
		if _, err := cert(t, p.Path("certs", "server.crt")).Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestSecretsAreClosed checks that nobody else can read what Ensure writes.
func TestSecretsAreClosed(t *testing.T) {
	p := dev.Provider{Dir: filepath.Join(t.TempDir(), "dev"), Domain: "demo.example", Base: 21000}
	if err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[strings.TrimPrefix(path, dir+"/")] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func cert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	c, err := certs.ParseCert(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
