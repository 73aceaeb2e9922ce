package efi_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/efi/efitest"
)

const peAt = efitest.HeaderAt

func uki(version string) []byte { return efitest.UKI(version, "kernel", "files") }

// vendor makes a key and a certificate that differ on each call.
func vendor() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())[:16]),
		Subject:      pkix.Name{CommonName: "vendor"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
}

// ours is made once for all tests.
var ours = sync.OnceValues(vendor)

func open(t testing.TB, data []byte) *efi.Image {
	t.Helper()
	m, err := efi.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sign(t testing.TB, data []byte) []byte {
	t.Helper()
	key, cert := ours()
	signed, err := efi.Sign(data, key, cert)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestUKI(t *testing.T) {
	data := uki("1.4.0~rc1")
	u, err := efi.OpenUKI(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := u.Section(efi.SectionKernel)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(kernel)
	if err != nil || string(content) != "kernel" {
		t.Errorf("kernel: %q, %v", content, err)
	}
	if got := efi.FileName(u.Version); got != "leap_1.4.0~rc1.efi" {
		t.Errorf("its file is %s", got)
	}
	if u.Version != "1.4.0~rc1" || u.Cmdline != "quiet" {
		t.Errorf("version %q, command line %q", u.Version, u.Cmdline)
	}
	if _, err := u.Section(".none"); !errors.Is(err, efi.ErrFormat) {
		t.Errorf("a section that is not there: %v", err)
	}
}

func TestSign(t *testing.T) {
	_, cert := ours()
	data := uki("1.0.0")
	signed := sign(t, data)
	m := open(t, signed)
	if err := m.Verify(cert); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(signed, sign(t, data)) {
		t.Error("two signatures of the same program differ")
	}
	before, err := open(t, data).Digest()
	if err != nil {
		t.Fatal(err)
	}
	if after, err := m.Digest(); err != nil || before != after {
		t.Errorf("the digest changed when it was signed: %x, %x, %v", before, after, err)
	}
	stripped, err := efi.Strip(signed)
	if err != nil || !bytes.Equal(stripped, data) {
		t.Errorf("a signed program without its signature is not the unsigned one: %v", err)
	}
	if _, err := efi.Sign(signed, nil, nil); err == nil {
		t.Error("a signed program was signed again")
	}
}

// TestStrip holds that trailing symbols, as Debian's boot loader has them, go.
func TestStrip(t *testing.T) {
	data := efitest.Program(".text", "code")
	clean := slices.Clone(data)
	binary.LittleEndian.PutUint32(data[peAt+12:], uint32(len(data)))
	binary.LittleEndian.PutUint32(data[peAt+16:], 1)
	got, err := efi.Strip(append(data, "symbols"...))
	if err != nil || !bytes.Equal(got, clean) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestBadSignatures(t *testing.T) {
	_, cert := ours()
	_, other := vendor()
	signed := sign(t, uki("1.0.0"))
	// A certificate that says it is ours, with another key.
	forged := *other
	forged.RawIssuer, forged.SerialNumber = cert.RawIssuer, cert.SerialNumber
	flip := func(at int) []byte {
		data := slices.Clone(signed)
		data[at] ^= 1
		return data
	}
	end := len(uki("1.0.0"))
	moved := append(uki("1.0.1"), signed[end:]...) // The table of one program on another.
	copy(moved[peAt+24+144:peAt+24+152], signed[peAt+24+144:])
	for _, tt := range []struct {
		name string
		data []byte
		cert *x509.Certificate
		want string
	}{
		{"unsigned", uki("1.0.0"), cert, "there is none"},
		{"another vendor", signed, other, "by another certificate"},
		{"another key", signed, &forged, "verification error"},
		{"changed code", flip(0x400), cert, "of another program"},
		{"changed header", flip(peAt + 24 + 60), cert, ""},
		{"changed release", flip(0x604), cert, "of another program"},
		{"moved", moved, cert, "of another program"},
		{"changed signature", flip(bytes.LastIndexFunc(signed, func(r rune) bool { return r != 0 })), cert, ""},
	} {
		m, err := efi.Open(bytes.NewReader(tt.data), int64(len(tt.data)))
		if err == nil {
			err = m.Verify(tt.cert)
		}
		if !errors.Is(err, efi.ErrSignature) && !errors.Is(err, efi.ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestEveryByte holds that there is no byte of a signed program which can be
// changed unnoticed, but those of the checksum and of the certificate that
// lies in the message for information.
func TestEveryByte(t *testing.T) {
	_, cert := ours()
	signed := sign(t, uki("1.0.0"))
	lies := bytes.Index(signed, cert.Raw)
	for i := range signed {
		if i >= peAt+24+64 && i < peAt+24+68 || i >= lies && i < lies+len(cert.Raw) {
			continue
		}
		for _, bit := range []byte{1, 0x80} {
			signed[i] ^= bit
			m, err := efi.Open(bytes.NewReader(signed), int64(len(signed)))
			if err == nil && m.Verify(cert) == nil {
				t.Errorf("byte %#x of %#x: bit %#x was changed unnoticed", i, len(signed), bit)
			}
			signed[i] ^= bit
		}
	}
}

// TestCut holds that no cut file is taken for a whole one.
func TestCut(t *testing.T) {
	_, cert := ours()
	signed := sign(t, uki("1.0.0"))
	for n := range signed {
		m, err := efi.Open(bytes.NewReader(signed[:n]), int64(n))
		if err == nil && m.Verify(cert) == nil {
			t.Errorf("%d of %d bytes were taken for the whole", n, len(signed))
		}
	}
}

func TestBadReleases(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "MZ"},
		{"text", []byte(strings.Repeat("text", 100)), "MZ"},
		{"no sections", efitest.Program(), "0 sections"},
		{"no release", efitest.Program(".text", "x"), "no section .osrel"},
		{"another system", efitest.Program(efi.SectionRelease, "ID=debian\n"), "another system"},
		{"bad version", uki("1.0+3"), "version"},
		{"two releases", efitest.Program(efi.SectionRelease, "ID=a\n", efi.SectionRelease, "ID=leap\n"), "two sections"},
		{"no kernel", efitest.Program(efi.SectionRelease, efi.OSRelease("1"), efi.SectionCmdline, "", efi.SectionInitrd, "x"), "no section .linux"},
		{"empty kernel", efitest.Program(efi.SectionRelease, efi.OSRelease("1"), efi.SectionCmdline, "", efi.SectionInitrd, "x", efi.SectionKernel, ""), "is empty"},
		{"long command line", efitest.Program(efi.SectionRelease, efi.OSRelease("1"), efi.SectionCmdline, strings.Repeat("x", 1<<13)), "8192 bytes"},
	} {
		_, err := efi.OpenUKI(bytes.NewReader(tt.data), int64(len(tt.data)))
		if !errors.Is(err, efi.ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestRelease(t *testing.T) {
	const good = `{"version":"1.0.0","oldest_schema":1,"newest_schema":2,"built":"2026-01-01T00:00:00Z","least_ram_mib":512}`
	got, err := efi.ParseRelease([]byte(good))
	if want := (efi.Release{Version: "1.0.0", OldestSchema: 1, NewestSchema: 2, LeastRAM: 512, Built: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		``, `{}`, good + `{}`, strings.Replace(good, "1.0.0", "v1", 1), strings.Replace(good, "version", "versions", 1),
		strings.Replace(good, `schema":2`, `schema":0`, 1), strings.Replace(good, "512", "0", 1), strings.Replace(good, "2026", "0001", 1),
	} {
		if _, err := efi.ParseRelease([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestForeign has other programs verify our signature, and us verify theirs.
func TestForeign(t *testing.T) {
	for _, name := range []string{"sbverify", "sbsign"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s (Debian: sbsigntool) is not installed", name)
		}
	}
	key, cert := ours()
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certPath := put("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	keyPath := put("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	unsigned := put("unsigned.efi", uki("1.0.0"))
	signed := put("signed.efi", sign(t, uki("1.0.0")))
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	if out := run("sbverify", "--cert", certPath, signed); !strings.Contains(out, "Signature verification OK") || strings.Contains(out, "warning") {
		t.Errorf("sbverify: %s", out)
	}
	theirs := filepath.Join(dir, "theirs.efi")
	run("sbsign", "--key", keyPath, "--cert", certPath, "--output", theirs, unsigned)
	data, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, data).Verify(cert); err != nil {
		t.Errorf("signed by sbsign: %v", err)
	}
}
