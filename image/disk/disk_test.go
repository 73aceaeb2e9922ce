package disk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/gpt"
	"leap.example/image/disk"
)

var options = disk.Options{
	UKI:        efitest.UKI("1.2.3", "kernel", strings.Repeat("files ", 1<<20)),
	BootLoader: efitest.Program(".text", "boot loader"),
	Perm:       gpt.LeastPerm,
}

// write makes an image in a directory of its own.
func write(t *testing.T, o disk.Options) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "disk.img")
	if err := disk.Write(t.Context(), path, o, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// blocks calls f for each block of a file that is not zero, with its offset.
// What lies in a hole is not even read.
func blocks(t *testing.T, path string, f func(at int64, block []byte)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zeros := make([]byte, 4096)
	for end := int64(0); ; {
		at, err := file.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return // A hole up to the end.
		}
		if err != nil {
			t.Fatal(err)
		}
		if end, err = file.Seek(at, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, end-at)
		if _, err := file.ReadAt(data, at); err != nil {
			t.Fatal(err)
		}
		for block := range slices.Chunk(data, len(zeros)) {
			if !bytes.Equal(block, zeros[:len(block)]) {
				f(at, block)
			}
			at += int64(len(block))
		}
	}
}

// digest is one of all that is not zero in a file, and where it is.
func digest(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	h := sha256.New()
	blocks(t, path, func(at int64, block []byte) {
		fmt.Fprintln(h, at)
		h.Write(block)
	})
	return [sha256.Size]byte(h.Sum(nil))
}

// run runs a program that judges an image. The test is skipped without it.
func run(t *testing.T, debian, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s (Debian: %s) is not installed", name, debian)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestSame(t *testing.T) {
	a, b := write(t, options), write(t, options)
	if digest(t, a) != digest(t, b) {
		t.Error("two images of the same release differ")
	}
	info, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != gpt.LeastDisk {
		t.Errorf("the image has %d bytes, want %d", info.Size(), int64(gpt.LeastDisk))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Blocks*512 > 12<<20 {
		t.Errorf("the image takes %d bytes of a disk: it is not sparse", stat.Blocks*512)
	}
}

func TestTable(t *testing.T) {
	path := write(t, options)
	if out := run(t, "gdisk", "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
}

// esp returns the system partition of an image as a file of its own.
func esp(t *testing.T, image string) (path string) {
	t.Helper()
	const start = 1 << 20
	path = filepath.Join(t.TempDir(), "esp")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := to.Truncate(gpt.ESPSize); err != nil {
		t.Fatal(err)
	}
	blocks(t, image, func(at int64, block []byte) {
		if at < start || at >= start+gpt.ESPSize {
			return
		}
		if _, err := to.WriteAt(block, at-start); err != nil {
			t.Fatal(err)
		}
	})
	return path
}

func TestFsck(t *testing.T) {
	out := run(t, "dosfstools", "fsck.fat", "-n", "-v", esp(t, write(t, options)))
	_, verdict, _ := strings.Cut(out, "sectors total\n")
	want := "Checking for unused clusters.\nChecking free cluster summary.\n"
	if found, _, ok := strings.Cut(verdict, want); !ok || found != "" || !strings.Contains(verdict, " 8 files") {
		t.Errorf("fsck.fat has something to say:\n%s", out)
	}
}

func TestFiles(t *testing.T) {
	path := esp(t, write(t, options))
	out := run(t, "mtools", "mdir", "-/", "-b", "-i", path, "::")
	want := "::/EFI/BOOT/BOOTX64.EFI ::/EFI/Linux/leap_1.2.3.efi ::/loader/loader.conf"
	var got []string
	for line := range strings.Lines(out) {
		if name := strings.TrimSpace(line); !strings.HasSuffix(name, "/") {
			got = append(got, name)
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("files %s, want %s", got, want)
	}
	for name, want := range map[string][]byte{
		"::/EFI/BOOT/BOOTX64.EFI":     options.BootLoader,
		"::/EFI/Linux/leap_1.2.3.efi": options.UKI,
		"::/loader/loader.conf":       []byte("timeout 0\neditor no\nauto-firmware no\n"),
		"::/efi/linux/LEAP_1.2.3.EFI": options.UKI, // Names have no case.
		"::/EFI/Linux/LEAP_1~1.EFI":   options.UKI,
	} {
		if got := run(t, "mtools", "mtype", "-i", path, name); got != string(want) {
			t.Errorf("%s has other content, %d bytes", name, len(got))
		}
	}
}

// TestNames holds that names of every length are read as they were written.
func TestNames(t *testing.T) {
	for _, version := range []string{"1.2", "10.2", "100.2", "123456789.123456789.1.1~rc1", "1.2~rc12345678901234"} {
		o := options
		o.UKI = efitest.UKI(version, "kernel", "files")
		out := run(t, "mtools", "mdir", "-b", "-i", esp(t, write(t, o)), "::/EFI/Linux")
		if want := "::/EFI/Linux/leap_" + version + ".efi"; strings.TrimSpace(out) != want {
			t.Errorf("got %s, want %s", out, want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for name, change := range map[string]func(*disk.Options){
		"perm with 0 MiB": func(o *disk.Options) { o.Perm = 1 },
		"small perm":      func(o *disk.Options) { o.Perm = gpt.LeastPerm - 1<<20 },
		"no release":      func(o *disk.Options) { o.UKI = nil },
		"a program only":  func(o *disk.Options) { o.UKI = o.BootLoader },
		"no boot loader":  func(o *disk.Options) { o.BootLoader = nil },
	} {
		o := options
		change(&o)
		dir := t.TempDir()
		if err := disk.Write(t.Context(), filepath.Join(dir, "x"), o, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	err := disk.Write(ctx, filepath.Join(dir, "x"), options, func(int64, int64) { cancel() })
	if left, _ := os.ReadDir(dir); !errors.Is(err, context.Canceled) || len(left) > 0 {
		t.Errorf("got %v, left behind %v", err, left)
	}
}

func TestFlash(t *testing.T) {
	image := write(t, options)
	target := filepath.Join(t.TempDir(), "target")
	const size = 3<<30 + 12345*512
	junk := bytes.Repeat([]byte("junk"), 1<<18)
	f, err := os.Create(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 2 << 20, 515 << 20, size - int64(len(junk))} {
		if _, err := f.WriteAt(junk, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	var done, total int64
	progress := func(d, n int64) {
		if d <= done || n < d || total != 0 && n != total {
			t.Errorf("progress %d of %d follows %d of %d", d, n, done, total)
		}
		done, total = d, n
	}
	if err := disk.Flash(t.Context(), target, image, progress); err != nil {
		t.Fatal(err)
	}
	if done != total || total == 0 {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	to, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	table, err := gpt.Read(to, size)
	if err != nil || !table.IsNode() {
		t.Fatalf("the target's table: %v, %v", table, err)
	}
	perm := table.Partitions[gpt.Perm-1]
	if rest := size - perm.Start() - perm.Size(); rest > 2<<20 {
		t.Errorf("%d bytes behind perm are not used", rest)
	}
	blank := make([]byte, 1<<20)
	if _, err := to.ReadAt(blank, perm.Start()); err != nil || !bytes.Equal(blank, make([]byte, 1<<20)) {
		t.Errorf("perm is not blank: %v", err)
	}
	if digest(t, esp(t, target)) != digest(t, esp(t, image)) {
		t.Error("the system partition is another one")
	}
	if out := run(t, "gdisk", "sgdisk", "-v", target); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
}

// TestFlashNew holds that a new file becomes the image itself.
func TestFlashNew(t *testing.T) {
	image := write(t, options)
	target := filepath.Join(t.TempDir(), "target")
	if err := disk.Flash(t.Context(), target, image, nil); err != nil {
		t.Fatal(err)
	}
	if digest(t, target) != digest(t, image) {
		t.Error("the copy differs")
	}
}

func TestBadFlash(t *testing.T) {
	image := write(t, options)
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("text", 1<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, target, image, want string }{
		{"no image", filepath.Join(dir, "x"), filepath.Join(dir, "none"), "no such file"},
		{"text", filepath.Join(dir, "x"), text, "no whole partition table"},
		{"itself", image, image, "the image itself"},
		{"directory", dir, image, "neither a file nor a block device"},
		{"no disk", "/dev/null", image, "neither a file nor a block device"},
	} {
		if err := disk.Flash(t.Context(), tt.target, tt.image, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind %v, %v", left, err)
	}
	// An interrupted copy is not taken for a node's disk.
	ctx, cancel := context.WithCancel(t.Context())
	target := filepath.Join(dir, "target")
	err := disk.Flash(ctx, target, image, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := gpt.Read(f, gpt.LeastDisk); !errors.Is(err, gpt.ErrNone) {
		t.Errorf("an interrupted copy: %v", err)
	}
}

func TestFlashIdentity(t *testing.T) {
	target := filepath.Join(t.TempDir(), "identity")
	content := bytes.Repeat([]byte("identity"), 1<<17)
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := disk.FlashIdentity(t.Context(), target, content); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(target)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("it has %d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	for _, n := range []int{0, 1, 513, 2 << 20} {
		if err := disk.FlashIdentity(t.Context(), target, make([]byte, n)); err == nil || !strings.Contains(err.Error(), strconv.Itoa(n)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
