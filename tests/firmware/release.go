package firmware

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

// forget removes the programs that were compiled.
func forget() error {
	programs.Lock()
	defer programs.Unlock()
	return os.RemoveAll(programs.dir)
}

// Leapd is the path of the node's program.
func Leapd(t *testing.T) string { return compiled(t, "leapd", "./appliance/cmd/leapd") }

// Panics is the path of a program that ends at once, so that the kernel panics.
func Panics(t *testing.T) string { return compiled(t, "panics", "./tests/firmware/panics") }

// Without leaves a program out of a release.
func Without(o *uki.Options, name string) {
	o.Services = slices.DeleteFunc(o.Services, func(s string) bool { return s == name })
}

// A Signer is whom the firmware trusts.
type Signer struct{ Cert, Key, DER []byte }

// NewSigner makes one.
func NewSigner(t *testing.T) Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "releases"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return Signer{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), der,
	}
}

// Build builds a release out of a program.
func Build(t *testing.T, version, program string, change func(*uki.Options)) *uki.Build {
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
