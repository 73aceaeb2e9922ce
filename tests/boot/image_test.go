package boot

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/qemu/cluster"
	"leap.example/qemu/vm"
)

const patience = 4 * time.Minute // With a machine that is emulated on one that is busy.

// A lab has a release, and boots it without the firmware.
type lab struct {
	dir        string
	hypervisor *vm.Hypervisor
	build      *uki.Build
	config     vm.Config // Of all machines.
}

// newLab builds the release of this source.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir()}
	var err error
	l.hypervisor, err = vm.Open(t.Context(), vm.Options{})
	check(t, err)
	l.build, err = uki.Make(t.Context(), uki.Options{
		Release: efi.Release{Version: "0.0.1", OldestSchema: node.OldestSchema, NewestSchema: node.Schema, LeastRAM: 256, Built: time.Unix(1_750_000_000, 0).UTC()},
		Source:  "../..", Services: slices.Concat([]string{"agent"}, node.Services()),
	})
	check(t, err)
	l.config, err = cluster.Unpack(l.dir, l.build.UKI)
	check(t, err)
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// disk makes a node's disk, larger than the image that is written to it.
func (l *lab) disk(t *testing.T, name string) string {
	t.Helper()
	const perm, larger = 250 << 20, 30 << 20
	check(t, disk.Write(t.Context(), l.path(name), disk.Options{UKI: l.build.UKI, BootLoader: l.build.BootLoader, Perm: perm}, nil))
	info, err := os.Stat(l.path(name))
	check(t, err)
	check(t, os.Truncate(l.path(name), info.Size()+larger))
	return l.path(name)
}

// identity makes an identity disk of a provider whose key is always the same.
func (l *lab) identity(t *testing.T, name string, reinstall bool) string {
	t.Helper()
	signer := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	text, err := json.Marshal(node.Identity{
		Schema: node.Schema, Provider: "example.org", Node: name, Signer: signer.Public().(ed25519.PublicKey),
		Interface: node.Interface{Name: "eth0", DHCP: true}, Agent: node.Agent{Port: 8443, OperatorCA: certificate},
		Certificate: certificate, Key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), Reinstall: reinstall,
	})
	check(t, err)
	content, err := node.IdentityDisk(node.Sign(signer, node.ForIdentity, text))
	check(t, err)
	check(t, os.WriteFile(l.path(name), content, 0o600))
	return l.path(name)
}

// on switches a machine with these disks on. The power is cut when the test ends.
func (l *lab) on(t *testing.T, name string, disks ...string) *run {
	t.Helper()
	c := l.config
	c.Name, c.Serial = name, l.path(name+".serial")
	for _, d := range disks {
		c.Drives = append(c.Drives, vm.Drive{Path: d})
	}
	begin := time.Now()
	m, err := l.hypervisor.Start(t.Context(), c)
	check(t, err)
	t.Cleanup(func() { check(t, m.Close()) })
	return &run{Machine: m, serial: c.Serial, begin: begin}
}

// A run is a machine that was switched on.
type run struct {
	*vm.Machine
	serial string
	begin  time.Time
}

// says waits until the console shows all texts, in this order.
func (r *run) says(t *testing.T, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := int64(0)
	for _, text := range texts {
		var err error
		at, err = r.WaitSerial(ctx, at, text)
		check(t, err)
	}
	t.Logf("%.1f s", time.Since(r.begin).Seconds())
}

// silent fails if the console has shown a text.
func (r *run) silent(t *testing.T, text string) {
	t.Helper()
	console, err := os.ReadFile(r.serial)
	if err != nil || bytes.Contains(console, []byte(text)) {
		t.Errorf("the console shows %q, %v:\n%s", text, err, console)
	}
}
