package uki_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/image/uki"
)

// standin is the source of a small leapd: as PID 1 it says so and switches off.
const standin = `package main

import (
	"os"
	"syscall"
)

func main() {
	os.Stdout.WriteString("standin: " + os.Args[0] + "\n")
	if os.Getpid() == 1 {
		syscall.Sync()
		syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
}
`

// compile builds the stand-in in a directory of its own.
func compile(t testing.TB) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": standin, "go.mod": "module standin\n\ngo 1.26.0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "standin")
	if err := uki.Compile(t.Context(), dir, ".", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// options are those of a release with the stand-in in the place of leapd. The
// test is skipped if stub and boot loader are not installed.
func options(t testing.TB) uki.Options {
	t.Helper()
	if _, err := os.Stat("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("stub and boot loader (Debian: systemd-boot-efi) are not installed")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return uki.Options{
		Release: efi.Release{Version: "1.2.3", OldestSchema: 1, NewestSchema: 1, LeastRAM: 512, Built: time.Unix(1_800_000_000, 0).UTC()},
		Source:  root, Program: compile(t), Services: []string{"agent", "mx"},
	}
}

func build(t testing.TB, o uki.Options) *uki.Build {
	t.Helper()
	b, err := uki.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, data []byte) *efi.UKI {
	t.Helper()
	u, err := efi.OpenUKI(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func section(t testing.TB, u *efi.UKI, name string) []byte {
	t.Helper()
	s, err := u.Section(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vendor is a key with its certificate, both PEM, made once for all tests.
var vendor = sync.OnceValues(func() (key, cert []byte) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vendor"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
})

// A file is an entry of a cpio archive.
type file struct {
	path  string
	mode  uint64
	owner uint64 // Either id.
	mtime uint64
	data  []byte
}

// unpack reads an archive in the format "newc".
func unpack(t testing.TB, archive []byte) (files []file) {
	t.Helper()
	take := func(n int) []byte {
		if n > len(archive) {
			t.Fatalf("the archive is cut, at %d files", len(files))
		}
		out := archive[:n]
		archive = archive[n:]
		return out
	}
	size := len(archive)
	pad := func() { take(-(size - len(archive)) & 3) }
	for {
		header := take(110)
		field := func(i int) uint64 {
			v, err := strconv.ParseUint(string(header[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if string(header[:6]) != "070701" {
			t.Fatalf("no header behind %d files", len(files))
		}
		name := string(bytes.TrimSuffix(take(int(field(11))), []byte{0}))
		pad()
		f := file{name, field(1), field(2) | field(3), field(5), take(int(field(6)))}
		pad()
		if name == "TRAILER!!!" {
			return files
		}
		files = append(files, f)
	}
}
