package volume

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/gpt"
	"leap.example/appliance/node"
)

// A fake is a machine whose devices are files, and its kernel.
type fake struct {
	Machine
	mounted []string
	resized []string
	fail    error // Of mount.
}

func newFake(t *testing.T) *fake {
	dir := t.TempDir()
	f := &fake{Machine: Machine{filepath.Join(dir, "sys"), filepath.Join(dir, "dev")}}
	if err := errors.Join(os.Mkdir(f.Sys, 0o700), os.Mkdir(f.Dev, 0o700)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fake) mount(device, at string) error {
	f.mounted = append(f.mounted, filepath.Base(device))
	return f.fail
}

func (f *fake) resize(disk string, number int, _, size int64) error {
	f.resized = append(f.resized, fmt.Sprint(filepath.Base(disk), " ", number, " ", size>>20, " MiB"))
	return os.Truncate(Disk{Path: disk}.Partition(number), size)
}

// file makes a device of so many bytes that begins with text.
func (f *fake) file(t *testing.T, name string, size int64, text []byte) string {
	t.Helper()
	path := filepath.Join(f.Dev, name)
	if err := errors.Join(os.WriteFile(path, text, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *fake) disk(t *testing.T, name string, size int64, text []byte) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.Sys, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return f.file(t, name, size, text)
}

// node makes a node's disk of so many MiB on which lies an image of so many.
func (f *fake) node(t *testing.T, name string, mib, image int64) {
	t.Helper()
	path := f.disk(t, name, mib<<20, nil)
	table, err := gpt.Layout(image << 20)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(table.Write(disk), disk.Close()); err != nil {
		t.Fatal(err)
	}
	for i, p := range table.Partitions {
		f.file(t, filepath.Base(Disk{Path: name}.Partition(i+1)), p.Size(), nil)
	}
}

func (f *fake) find(t *testing.T) Disk {
	t.Helper()
	d, err := f.Find()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fsck checks a file system by the judge of others, if he is here.
func fsck(t *testing.T, path string) {
	t.Helper()
	program, err := exec.LookPath("e2fsck")
	if err != nil {
		t.Log("e2fsck is not installed")
		return
	}
	if out, err := exec.Command(program, "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, out)
	}
}

// left fails unless 16 MiB of a file system are left to root, as others read it.
func left(t *testing.T, path string) {
	t.Helper()
	program, err := exec.LookPath("dumpe2fs")
	if err != nil {
		t.Log("dumpe2fs is not installed")
		return
	}
	if out, err := exec.Command(program, "-h", path).Output(); err != nil || !regexp.MustCompile(`(?m)^Reserved block count: +4096$`).Match(out) {
		t.Errorf("dumpe2fs: %v: %s", err, out)
	}
}

func TestFirstBoot(t *testing.T) {
	for _, tt := range []struct {
		name      string
		disk, img int64 // MiB.
		resized   string
	}{
		{"sda", 720, 720, "[]"},
		{"nvme0n1", 760, 720, "[nvme0n1 4 244 MiB]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.disk(t, "sr0", 0, nil)
			f.disk(t, "sdb", 1<<20, []byte("some other disk"))
			f.node(t, tt.name, tt.disk, tt.img)
			d := f.find(t)
			if formatted, err := d.open(t.TempDir(), f); !formatted || err != nil {
				t.Fatalf("formatted %v, %v", formatted, err)
			}
			fsck(t, d.Partition(gpt.Perm))
			left(t, d.Partition(gpt.Perm))
			if got := fmt.Sprint(f.resized); got != tt.resized {
				t.Errorf("resized %s, want %s", got, tt.resized)
			}
			before, err := os.ReadFile(d.Partition(gpt.Perm))
			if err != nil {
				t.Fatal(err)
			}

			d = f.find(t) // The next boot: nothing is written.
			if formatted, err := d.open(t.TempDir(), f); formatted || err != nil {
				t.Errorf("again: formatted %v, %v", formatted, err)
			}
			after, err := os.ReadFile(d.Partition(gpt.Perm))
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the next boot wrote: %v", err)
			}
			if len(f.mounted) != 2 || f.mounted[0] != filepath.Base(d.Partition(4)) {
				t.Errorf("mounted %v", f.mounted)
			}
		})
	}
}

// TestNeverFormatted puts on perm what is not ours to destroy.
func TestNeverFormatted(t *testing.T) {
	random := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(random)
	late := make([]byte, 1<<20)
	late[1<<20-1] = 1
	damaged := make([]byte, 1<<20)
	damaged[magic], damaged[magic+1] = 0x53, 0xef
	for name, tt := range map[string]struct {
		text []byte
		want error
	}{
		"garbage":            {random, ErrForeign},
		"one byte":           {late, ErrForeign},
		"part of a file sys": {damaged, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.fail = errors.New("structure needs cleaning")
			f.node(t, "vda", 720, 720)
			d := f.find(t)
			part, err := os.OpenFile(d.Partition(4), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(writeSync(part, tt.text), part.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.open(t.TempDir(), f); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			got := make([]byte, 1<<20)
			part, err = os.Open(d.Partition(4))
			if err != nil {
				t.Fatal(err)
			}
			defer part.Close()
			if _, err := part.ReadAt(got, 0); err != nil || !bytes.Equal(got, tt.text) {
				t.Error("perm was written to")
			}
		})
	}
}

// TestInterrupted finds the mark of a format that a power cut has ended.
func TestInterrupted(t *testing.T) {
	f := newFake(t)
	f.node(t, "vda", 720, 720)
	d := f.find(t)
	part, err := os.OpenFile(d.Partition(4), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := append([]byte(mark), bytes.Repeat([]byte("half"), 1000)...)
	if err := errors.Join(writeSync(part, text), part.Close()); err != nil {
		t.Fatal(err)
	}
	if formatted, err := d.open(t.TempDir(), f); !formatted || err != nil {
		t.Errorf("formatted %v, %v", formatted, err)
	}
	fsck(t, d.Partition(4))
	if err := d.Erase(); err != nil {
		t.Fatal(err)
	}
	if formatted, err := d.open(t.TempDir(), f); !formatted || err != nil {
		t.Errorf("after erasing: formatted %v, %v", formatted, err)
	}
}

func TestFindRefuses(t *testing.T) {
	f := newFake(t)
	if _, err := f.Find(); !errors.Is(err, ErrNoDisk) {
		t.Errorf("without disks: %v", err)
	}
	f.node(t, "vda", 720, 720)
	if err := f.find(t).CheckESP(); !errors.Is(err, ErrESP) {
		t.Errorf("a boot partition of zeros: %v", err)
	}
	sector := make([]byte, 512)
	copy(sector[11:], []byte{0, 2, 8, 32, 0})
	sector[510], sector[511] = 0x55, 0xaa
	f.file(t, "vda1", 1<<20, sector)
	if err := f.find(t).CheckESP(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	f.node(t, "vdb", 720, 720)
	if _, err := f.Find(); !errors.Is(err, ErrTwoDisks) {
		t.Errorf("with two: %v", err)
	}
}

// A provider signs identities.
type provider struct{ key ed25519.PrivateKey }

func newProvider(seed byte) provider {
	return provider{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (p provider) identity(t *testing.T, name string, reinstall bool) node.Signed {
	t.Helper()
	text, err := json.Marshal(node.Identity{
		Schema: node.Schema, Provider: "example.org", Node: name, Signer: p.key.Public().(ed25519.PublicKey),
		Interface: node.Interface{Name: "eth0", DHCP: true}, Agent: node.Agent{Port: 8443, OperatorCA: "-----BEGIN CERTIFICATE-----"},
		Certificate: "PEM", Key: "PEM", Reinstall: reinstall,
	})
	if err != nil {
		t.Fatal(err)
	}
	return node.Sign(p.key, node.ForIdentity, text)
}

func TestChoose(t *testing.T) {
	ours, other := newProvider(1), newProvider(2)
	first, second := ours.identity(t, "one", false), ours.identity(t, "two", false)
	again, stolen := ours.identity(t, "three", true), other.identity(t, "four", true)
	forged := ours.identity(t, "five", true)
	forged.Signature = bytes.Repeat([]byte{1}, ed25519.SignatureSize)
	damaged := first
	damaged.Text = []byte("{")
	for _, tt := range []struct {
		name      string
		kept      *node.Signed
		offered   []node.Signed
		broken    bool
		want      string // Node's name.
		reinstall bool
		notes     int
		err       string
	}{
		{"nothing", nil, nil, false, "", false, 0, "attach an identity disk"},
		{"the first one", nil, []node.Signed{first, second}, false, "one", false, 0, ""},
		{"the first good one", nil, []node.Signed{damaged, forged, second}, false, "two", false, 2, ""},
		{"none that is good", nil, []node.Signed{forged}, false, "", false, 1, "signature"},
		{"the kept one", &first, nil, false, "one", false, 0, ""},
		{"the same one", &again, []node.Signed{again}, false, "three", false, 0, ""},
		{"the kept one, not another", &first, []node.Signed{second, stolen, forged, damaged}, false, "one", false, 4, ""},
		{"the one to reinstall", &first, []node.Signed{second, again}, false, "three", true, 1, ""},
		{"a kept one that is damaged", &damaged, []node.Signed{again}, false, "", false, 0, "has kept"},
		{"without perm, no word of reinstalling", nil, []node.Signed{first}, true, "one", false, 0, ""},
		{"without perm, to reinstall", nil, []node.Signed{again}, true, "three", true, 0, ""},
		{"a blank perm, to reinstall", nil, []node.Signed{again}, false, "three", false, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Choose(tt.kept, tt.offered, tt.broken)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if c.Identity.Node != tt.want && err == nil || c.Reinstall != tt.reinstall || len(c.Notes) != tt.notes {
				t.Errorf("got %s, reinstall %v, notes %v", c.Identity.Node, c.Reinstall, c.Notes)
			}
		})
	}
}

// TestReinstallAgain: a node follows each identity once, and no older one.
func TestReinstallAgain(t *testing.T) {
	ours := newProvider(1)
	at := func(day int) node.Signed {
		s := ours.identity(t, "one", true)
		id, err := node.ParseIdentity(s.Text)
		if err != nil {
			t.Fatal(err)
		}
		id.Written = time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		return node.Sign(ours.key, node.ForIdentity, text)
	}
	for day, want := range map[int]bool{1: false, 2: false, 3: true} {
		kept := at(2)
		if c, err := Choose(&kept, []node.Signed{at(day)}, false); err != nil || c.Reinstall != want {
			t.Errorf("day %d: reinstall %v, %v", day, c.Reinstall, err)
		}
	}
}

func TestIdentityDisks(t *testing.T) {
	f := newFake(t)
	s := newProvider(1).identity(t, "one", false)
	text, err := node.IdentityDisk(s)
	if err != nil {
		t.Fatal(err)
	}
	f.disk(t, "vda", 1<<20, []byte("other"))
	f.disk(t, "vdb", 1<<20, text)
	f.disk(t, "vdc", 100, text[:100]) // A cut one.
	found, bad := f.Identities()
	if len(found) != 1 || !bytes.Equal(found[0].Text, s.Text) || len(bad) != 1 || !errors.Is(bad[0], node.ErrIdentityDisk) {
		t.Errorf("found %d, bad %v", len(found), bad)
	}

	perm := t.TempDir()
	if kept, err := Kept(perm); kept != nil || err != nil {
		t.Errorf("kept %v, %v", kept, err)
	}
	if err := Keep(perm, s); err != nil {
		t.Fatal(err)
	}
	kept, err := Kept(perm)
	if err != nil || !bytes.Equal(kept.Text, s.Text) || !bytes.Equal(kept.Signature, s.Signature) {
		t.Errorf("kept %v, %v", kept, err)
	}
	info, err := os.Stat(keptPath(perm))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
