package gpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leap.example/appliance/gpt"
)

// image returns a sparse file with the table of a node's disk of that size.
func image(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Layout(size)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// sgdisk has another program judge the table, if it is installed.
func sgdisk(t *testing.T, f *os.File) {
	t.Helper()
	path, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Log("sgdisk (Debian: gdisk) is not installed: its verdict is missing")
		return
	}
	out, err := exec.CommandContext(t.Context(), path, "-v", f.Name()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
}

const mib = 1 << 20

func TestLayout(t *testing.T) {
	f := image(t, gpt.LeastDisk)
	got, err := gpt.Read(f, gpt.LeastDisk)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range got.Partitions {
		lines = append(lines, strings.Join([]string{p.Name, string(p.ID[24:]), string(p.Type[:8])}, " "))
		if p.Start()%mib != 0 || p.Size()%mib != 0 {
			t.Errorf("%s begins at %d and has %d bytes: not whole MiB", p.Name, p.Start(), p.Size())
		}
	}
	want := []string{
		"esp 000000000001 C12A7328", "reserved2 000000000002 8DA63339",
		"reserved3 000000000003 8DA63339", "perm 000000000004 0FC63DAF",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	if esp, perm := got.Partitions[gpt.ESP-1], got.Partitions[gpt.Perm-1]; esp.Size() != gpt.ESPSize || perm.Size() != gpt.LeastPerm {
		t.Errorf("esp has %d bytes, perm %d", esp.Size(), perm.Size())
	}
	if !got.IsNode() {
		t.Error("it is not known as a node's")
	}
	got.Partitions[1].Last--
	if got.IsNode() {
		t.Error("a changed table is known as a node's")
	}
	sgdisk(t, f)
	if _, err := gpt.Layout(gpt.LeastDisk - 1); err == nil {
		t.Error("a disk that is too small was taken")
	}
}

func TestGrow(t *testing.T) {
	f := image(t, gpt.LeastDisk)
	for _, size := range []int64{gpt.LeastDisk + 512, 2 << 30, 2<<30 + 5*512, 3 << 40} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		table, err := gpt.Read(f, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Grow(size); err != nil {
			t.Fatal(err)
		}
		if err := table.Write(f); err != nil {
			t.Fatal(err)
		}
		again, err := gpt.Read(f, size)
		if err != nil {
			t.Fatal(err)
		}
		if !again.IsNode() {
			t.Errorf("%d bytes: the table is no node's any more", size)
		}
		perm := again.Partitions[gpt.Perm-1]
		if rest := size - perm.Start() - perm.Size(); rest < 33*512 || rest > 2*mib {
			t.Errorf("%d bytes: %d behind perm", size, rest)
		}
		if err := table.Grow(size - 3*mib); err == nil && size > gpt.LeastDisk+mib {
			t.Errorf("%d bytes: the table was made smaller", size)
		}
		sgdisk(t, f)
	}
}

// TestDamage holds that either copy is enough, and none is not.
func TestDamage(t *testing.T) {
	f := image(t, gpt.LeastDisk)
	want, err := gpt.Read(f, gpt.LeastDisk)
	if err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte{0xa5}, 34*512)
	if _, err := f.WriteAt(garbage, 0); err != nil {
		t.Fatal(err)
	}
	got, err := gpt.Read(f, gpt.LeastDisk)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(gpt.Table{})); diff != "" {
		t.Errorf("the second copy (-want +got):\n%s", diff)
	}
	if _, err := f.WriteAt(garbage[:33*512], gpt.LeastDisk-33*512); err != nil {
		t.Fatal(err)
	}
	if _, err := gpt.Read(f, gpt.LeastDisk); !errors.Is(err, gpt.ErrNone) {
		t.Errorf("without both copies: %v", err)
	}
}

// cut is a disk whose power fails after so many writes.
type cut struct {
	*os.File
	left int
}

var errCut = errors.New("power cut")

func (c *cut) WriteAt(p []byte, at int64) (int, error) {
	if c.left--; c.left < 0 {
		half, err := c.File.WriteAt(p[:len(p)/2], at)
		return half, errors.Join(errCut, err)
	}
	return c.File.WriteAt(p, at)
}

// TestPowerCut holds that a table is there, the old or the new one, whenever
// the power fails while it is grown.
func TestPowerCut(t *testing.T) {
	for left := range 5 {
		f := image(t, gpt.LeastDisk)
		const size = gpt.LeastDisk + 100*mib
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		table, err := gpt.Read(f, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Grow(size); err != nil {
			t.Fatal(err)
		}
		if err := table.Write(&cut{f, left}); !errors.Is(err, errCut) {
			t.Errorf("cut after %d writes: %v", left, err)
		}
		got, err := gpt.Read(f, size)
		if err != nil || !got.IsNode() {
			t.Errorf("cut after %d writes: the disk has no table: %v", left, err)
		}
	}
}

// memory is a small disk.
type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error)  { return bytes.NewReader(m).ReadAt(p, at) }
func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }
func (memory) Sync() error                               { return nil }

// FuzzRead holds that what is taken is written so that it is read alike. The
// sums are put right first, or nothing would be taken.
func FuzzRead(f *testing.F) {
	disk := image(f, gpt.LeastDisk)
	table := make([]byte, 34*512)
	if _, err := disk.ReadAt(table, 0); err != nil {
		f.Fatal(err)
	}
	header, array := table[512:604], table[1024:1152]
	binary.LittleEndian.PutUint64(header[48:], 1000) // Fits the small disk below.
	binary.LittleEndian.PutUint64(array[32:], 40)
	binary.LittleEndian.PutUint64(array[40:], 100)
	f.Add(header, array)
	f.Fuzz(func(t *testing.T, header, array []byte) {
		disk := make(memory, gpt.LeastDisk>>10)
		head := disk[512:1024]
		copy(head[:92], header)
		copy(disk[1024:34*512], array)
		le := binary.LittleEndian
		le.PutUint32(head[88:], crc32.ChecksumIEEE(disk[1024:34*512]))
		clear(head[16:20])
		le.PutUint32(head[16:], crc32.ChecksumIEEE(head[:92]))
		got, err := gpt.Read(disk, int64(len(disk)))
		if err != nil {
			return
		}
		if err := got.Write(disk); err != nil {
			return // It has a gap.
		}
		again, err := gpt.Read(disk, int64(len(disk)))
		if diff := cmp.Diff(got, again, cmpopts.IgnoreUnexported(gpt.Table{})); err != nil || diff != "" {
			t.Errorf("written and read again: %v\n%s", err, diff)
		}
	})
}
