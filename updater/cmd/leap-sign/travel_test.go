package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leap.example/appliance/efi"
	"leap.example/appliance/efi/efitest"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
)

// programFile is "program DIR PATH N": a client of 160,000 bytes, and N more in its
// middle.
func programFile(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	data := make([]byte, 160_000)
	r := mathrand.NewChaCha8([32]byte{})
	_, _ = r.Read(data) // Never an error.
	data = slices.Insert(data, len(data)/2, bytes.Repeat([]byte("x"), n)...)
	for i := range data {
		data[i] &= 0x3f // So that it can be packed.
	}
	writeFile(ts, filepath.Join(args[0], args[1], "leapc"), data)
}

func writeFile(ts *testscript.TestScript, name string, data []byte) {
	file := ts.MkAbs(name)
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, data, 0o600))
}

// manifest is "manifest DIR PREFIX VERSION": with the first root of $WORK/repo inside.
func manifest(ts *testscript.TestScript, _ bool, args []string) {
	d, err := target.ParsePath(path.Join(args[1], args[2], "leapc"))
	if err != nil {
		d, err = target.ParsePath(path.Join(args[1], args[2], "leap.efi"))
		d.Documents = target.Range{Oldest: 1, Newest: 1}
	}
	ts.Check(err)
	d.Schema, d.Release, d.State, d.LeastRAM = target.Schema, d.Version, target.Range{Oldest: 1, Newest: 1}, 64
	root, err := os.ReadFile(filepath.Join(ts.Getenv("WORK"), "repo", "public", "metadata", "1.root.json"))
	ts.Check(err)
	d.Vendor, err = tufrepo.RootDigest(root)
	ts.Check(err)
	text, err := d.Encode()
	ts.Check(err)
	writeFile(ts, filepath.Join(args[0], args[1], args[2], "manifest.json"), text)
}

// image is "image DIR [signed|other]": an image of nodes, signed for Secure Boot or
// of another kernel.
func image(ts *testscript.TestScript, _ bool, args []string) {
	kernel := "a kernel"
	if len(args) > 1 && args[1] == "other" {
		kernel = "another kernel"
	}
	data := efitest.UKI(path.Base(args[0]), kernel, strings.Repeat("files ", 20_000))
	if len(args) > 1 && args[1] == "signed" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		ts.Check(err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vendor"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		ts.Check(err)
		cert, err := x509.ParseCertificate(der)
		ts.Check(err)
		data, err = efi.Sign(data, key, cert)
		ts.Check(err)
	}
	writeFile(ts, filepath.Join(args[0], "leap.efi"), data)
}

// by is "by NAME DIR RUNS WAY": a computer on which the version RUNS does takes the
// newest one, and it comes by a file whose path begins with WAY.
func by(ts *testscript.TestScript, _ bool, args []string) {
	own := ts.MkAbs(filepath.Join("clients", args[0], "machine"))
	installed := filepath.Join(own, "leapc")
	var tr tufclient.Transfer
	ts.Check(machine(ts, own, ts.MkAbs(args[1]), func(ctx context.Context, c *tufclient.Client, v *tufclient.View) error {
		t, err := newer(ctx, v, args[2])
		if err != nil {
			return err
		}
		data, err := os.ReadFile(installed)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		old := &tufclient.Old{ReaderAt: bytes.NewReader(data), SHA256: sha256.Sum256(data), Length: int64(len(data))}
		tr, err = c.SaveFrom(ctx, v, t, old, installed, 0o700)
		return err
	}))
	if !strings.HasPrefix(tr.Path, args[3]) || len(tr.Failed) > 0 {
		ts.Fatalf("it came by %+v", tr)
	}
	ts.Logf("%d bytes of %s", tr.Fetched, tr.Path)
}
