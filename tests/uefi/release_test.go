package uefi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"leap.example/image/deploy"
	"leap.example/image/uki"
	"leap.example/tests/lab"
)

// programs are compiled once, for all releases.
var programs = struct {
	sync.Mutex
	dir string
}{}

// compiled is the path of a program for nodes.
func compiled(t *testing.T, name, source string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.dir == "" {
		var err error
		programs.dir, err = os.MkdirTemp("", "leap-uefi-*")
		check(t, err)
	}
	path := filepath.Join(programs.dir, name)
	if _, err := os.Stat(path); err != nil {
		check(t, uki.Compile(t.Context(), "../..", source, path))
	}
	return path
}

func leapd(t *testing.T) string { return compiled(t, "leapd", "./appliance/cmd/leapd") }

func panics(t *testing.T) string { return compiled(t, "panics", "./tests/uefi/panics") }

// file writes a release to a file.
func (l *rig) file(t *testing.T, b *uki.Build) deploy.Release {
	t.Helper()
	path := l.path("release.efi")
	check(t, os.WriteFile(path, b.UKI, 0o600))
	r, err := deploy.OpenRelease(path)
	check(t, err)
	return r
}

// without leaves a program out of a release.
func without(o *uki.Options, name string) {
	o.Services = slices.DeleteFunc(o.Services, func(s string) bool { return s == name })
}

// A signer is whom the firmware trusts.
type signer struct{ cert, key, der []byte }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "releases"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return signer{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), der,
	}
}

// build builds a release out of a program.
func build(t *testing.T, version, program string, change func(*uki.Options)) *uki.Build {
	t.Helper()
	o := lab.Of(version)
	o.Program = program
	if change != nil {
		change(&o)
	}
	b, err := uki.Make(t.Context(), o)
	check(t, err)
	return b
}
