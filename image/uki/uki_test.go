package uki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/appliance/efi"
	"leap.example/image/uki"
)

// TestSame holds that a release does not depend on where and when it is made.
func TestSame(t *testing.T) {
	o := options(t)
	first := build(t, o)
	o.Program = compile(t)
	second := build(t, o)
	if !bytes.Equal(first.UKI, second.UKI) || !bytes.Equal(first.BootLoader, second.BootLoader) || !bytes.Equal(first.SBOM, second.SBOM) {
		t.Error("two builds differ")
	}
}

func TestSections(t *testing.T) {
	u := open(t, build(t, options(t)).UKI)
	if u.Version != "1.2.3" || u.Cmdline != uki.Cmdline || u.Signed() {
		t.Errorf("version %s, command line %q, signed %v", u.Version, u.Cmdline, u.Signed())
	}
	want := "console=ttyS0 quiet panic=10 oops=panic no_timer_check init_on_alloc=1 slab_nomerge pti=on " +
		"proc_mem.force_override=never root=PARTUUID=4C454150-6C65-4170-A000-000000000001/PARTNROFF=1"
	if u.Cmdline != want {
		t.Errorf("command line %q", u.Cmdline)
	}
	var names []string
	end := uint32(0)
	for _, s := range u.Sections {
		names = append(names, s.Name)
		if s.Address < end {
			t.Errorf("section %s lies in the one before", s.Name)
		}
		end = s.Address + s.Size
	}
	if got := strings.Join(names, " "); !strings.HasSuffix(got, ".sbat .sdmagic .osrel .cmdline .initrd .linux") {
		t.Errorf("sections %s", got)
	}
	if kernel := section(t, u, efi.SectionKernel); !bytes.HasPrefix(kernel[0x202:], []byte("HdrS")) {
		t.Error(".linux is no kernel")
	}
}

// TestFiles holds what is in the file system, and that there is one program.
func TestFiles(t *testing.T) {
	o := options(t)
	_, o.Certificate = vendor()
	o.CABundle = []byte("bundle")
	program, err := os.ReadFile(o.Program)
	if err != nil {
		t.Fatal(err)
	}
	u := open(t, build(t, o).UKI)
	var got strings.Builder
	for _, f := range unpack(t, section(t, u, efi.SectionInitrd)) {
		link := ""
		if f.mode&0o170000 == 0o120000 {
			link = " -> " + string(f.data)
		}
		fmt.Fprintf(&got, "%06o %s%s\n", f.mode, f.path, link)
		if f.owner != 0 || f.mtime != 0 {
			t.Errorf("%s: owner %d, time %d", f.path, f.owner, f.mtime)
		}
		if f.mode&0o170000 == 0o100000 && f.mode&0o111 != 0 && !bytes.Equal(f.data, program) {
			t.Errorf("%s is executable and not leapd", f.path)
		}
		if f.mode&0o6000 != 0 {
			t.Errorf("%s is setuid or setgid", f.path)
		}
		if f.path == "etc/leap/release.json" {
			if r, err := efi.ParseRelease(f.data); err != nil || r != o.Release {
				t.Errorf("release: %+v, %v", r, err)
			}
		}
	}
	const want = `040700 boot
040755 dev
040755 etc
100444 etc/hostname
100444 etc/hosts
040755 etc/leap
100444 etc/leap/release.json
100444 etc/leap/secureboot.pem
120777 etc/resolv.conf -> /tmp/resolv.conf
100444 etc/sbom.json
040755 etc/ssl
040755 etc/ssl/certs
100444 etc/ssl/certs/ca-certificates.crt
120777 init -> leapd
100755 leapd
040755 perm
040755 proc
040755 run
040755 sys
041777 tmp
040755 user
120777 user/agent -> /leapd
120777 user/mx -> /leapd
120777 var -> /perm/var
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("file system (-want +got):\n%s", diff)
	}
}

func TestSigned(t *testing.T) {
	o := options(t)
	key, certPEM := vendor()
	o.Certificate = certPEM
	unsigned := build(t, o)
	o.Key = key
	signed := build(t, o)
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, signed.UKI).Verify(cert); err != nil {
		t.Error(err)
	}
	for name, pair := range map[string][2][]byte{
		"release": {signed.UKI, unsigned.UKI}, "boot loader": {signed.BootLoader, unsigned.BootLoader},
	} {
		stripped, err := efi.Strip(pair[0])
		if err != nil || !bytes.Equal(stripped, pair[1]) {
			t.Errorf("%s: a rebuilder does not get what was signed: %v", name, err)
		}
		sbverify(t, certPEM, pair[0])
	}
}

// sbverify has another program judge a signature, if it is installed.
func sbverify(t *testing.T, cert, program []byte) {
	t.Helper()
	path, err := exec.LookPath("sbverify")
	if err != nil {
		t.Log("sbverify (Debian: sbsigntool) is not installed: its verdict is missing")
		return
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"cert": cert, "program": program} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), path, "--cert", "cert", "program")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "Signature verification OK\n" {
		t.Errorf("sbverify: %v\n%s", err, out)
	}
}

func TestSBOM(t *testing.T) {
	b := build(t, options(t))
	var bom struct {
		BomFormat, SpecVersion string
		Components             []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(b.SBOM, &bom); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range bom.Components {
		names = append(names, c.Name)
		if c.Version == "" {
			t.Errorf("%s has no version", c.Name)
		}
	}
	want := "linux linuxx64.efi.stub systemd-bootx64.efi standin std"
	if got := strings.Join(names, " "); got != want || bom.BomFormat != "CycloneDX" || bom.SpecVersion != "1.6" {
		t.Errorf("%s %s: %s, want %s", bom.BomFormat, bom.SpecVersion, got, want)
	}
}

func TestBadOptions(t *testing.T) {
	good := options(t)
	key, cert := vendor()
	dir := t.TempDir()
	for _, name := range []string{"linuxx64.efi.stub", "systemd-bootx64.efi", "text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := filepath.Join(dir, "text")
	for _, tt := range []struct {
		name   string
		change func(o *uki.Options)
		want   string
	}{
		{"no version", func(o *uki.Options) { o.Release.Version = "" }, "version"},
		{"no services", func(o *uki.Options) { o.Services = nil }, "without services"},
		{"nothing to build", func(o *uki.Options) { o.Source = "" }, "neither the source"},
		{"a service that is a path", func(o *uki.Options) { o.Services = []string{"../init"} }, "no name of a service"},
		{"a service twice", func(o *uki.Options) { o.Services = []string{"mx", "mx"} }, "/user/mx is in the file system twice"},
		{"unknown firmware", func(o *uki.Options) { o.Firmware = dir }, "install version 252.39-1~deb12u2 of Debian's package systemd-boot-efi"},
		{"no firmware", func(o *uki.Options) { o.Firmware = t.TempDir() }, "install Debian's package systemd-boot-efi"},
		{"no program", func(o *uki.Options) { o.Program = text }, "leapd"},
		{"no kernel", func(o *uki.Options) { o.Kernel = text }, "no bzImage"},
		{"key without certificate", func(o *uki.Options) { o.Key = key }, "CERTIFICATE"},
		{"key that is none", func(o *uki.Options) { o.Certificate, o.Key = cert, cert }, "PRIVATE KEY"},
		{"no module", func(o *uki.Options) { o.Source, o.Kernel = dir, "" }, "go mod:"},
	} {
		o := good
		tt.change(&o)
		if _, err := uki.Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}
