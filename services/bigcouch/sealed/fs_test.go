package sealed_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"leap.example/services/bigcouch/sealed"
)

// keyFile writes the key file of key n.
func keyFile(t testing.TB, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), fmt.Sprint("key", n))
	if err := os.WriteFile(name, fmt.Appendf(nil, "%064x\n", n), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// keysOf returns the keys of these numbers, the first as the current one.
func keysOf(t testing.TB, numbers ...int) *sealed.Keys {
	t.Helper()
	var files []string
	for _, n := range numbers {
		files = append(files, keyFile(t, n))
	}
	k, err := sealed.ReadKeys(files)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func write(t testing.TB, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(fs vfs.FS, name string) (string, error) {
	f, err := fs.Open(name)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), errors.Join(err, f.Close())
}

// A sealed file behaves as a plain one, whatever is written to it and wherever
// it is read, also by who opened it before anything was written.
func TestLikePlain(t *testing.T) {
	keys := keysOf(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		disks := []vfs.FS{vfs.NewMem(), sealed.New(vfs.NewMem(), keys)}
		var writers, early [2]vfs.File
		for i, d := range disks {
			var err error
			if writers[i], err = d.Create("f", vfs.WriteCategoryUnspecified); err != nil {
				t.Fatal(err)
			}
			if early[i], err = d.Open("f"); err != nil {
				t.Fatal(err)
			}
		}
		same := func(what string, f func(disk int) string) {
			if plain, sealed := f(0), f(1); plain != sealed {
				t.Fatalf("%s: sealed %.200q, plain %.200q", what, sealed, plain)
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			n := rapid.SampledFrom([]int{1, 15, 16, 17, 1000, 65_536, 70_001}).Draw(t, "size")
			off := int64(rapid.IntRange(0, 140_000).Draw(t, "offset"))
			seed := rapid.Byte().Draw(t, "seed")
			text := bytes.Repeat([]byte{seed, 1, 2, seed, 4, 5, 6}, n/7+1)[:n]
			if rapid.Bool().Draw(t, "write") {
				same("Write", func(i int) string {
					p := bytes.Clone(text)
					n, err := writers[i].Write(p)
					return fmt.Sprint(n, err, i == 0 || bytes.Equal(p, text))
				})
			}
			for _, files := range [][2]vfs.File{writers, early} {
				same("ReadAt", func(i int) string {
					p := make([]byte, n)
					n, err := files[i].ReadAt(p, off)
					return fmt.Sprintf("%d %v %x", n, err, p)
				})
				same("Read", func(i int) string {
					p := make([]byte, n)
					n, err := files[i].Read(p)
					return fmt.Sprintf("%d %v %x", n, err, p[:n])
				})
				same("Stat", func(i int) string {
					info, err := files[i].Stat()
					return fmt.Sprint(info.Size(), info.Name(), info.IsDir(), err)
				})
			}
		}
		for i := range disks {
			if err := errors.Join(writers[i].Close(), early[i].Close(), disks[i].Link("f", "g"), disks[i].Rename("f", "h")); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"f", "g", "h"} {
			same(name, func(i int) string {
				text, err := read(disks[i], name)
				info, e := disks[i].Stat(name)
				size := int64(-1)
				if e == nil {
					size = info.Size()
				}
				return fmt.Sprint(size, err, e, text)
			})
		}
	})
}

// What would write a place twice, or past the encryption, is refused.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	fs := sealed.New(vfs.Default, keysOf(t, 1))
	name := filepath.Join(dir, "f")
	write(t, fs, name, "text")
	if _, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified); !errors.Is(err, vfs.ErrUnsupported) {
		t.Errorf("OpenReadWrite: %v", err)
	}
	f, err := fs.Create(filepath.Join(dir, "g"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, vfs.ErrUnsupported) {
		t.Errorf("WriteAt: %v", err)
	}
	r, err := fs.Open(name, vfs.RandomReadsOption)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Write([]byte("x")); err == nil {
		t.Error("a file that was opened for reading was written")
	}
	if _, err := r.ReadAt(make([]byte, 4), -8); err == nil {
		t.Error("the header was read as text")
	}
	for _, f := range []vfs.File{f, r} {
		if f.Fd() != vfs.InvalidFd {
			t.Error("the descriptor is open to all")
		}
	}
	if vfs.Root(fs) != vfs.FS(fs) {
		t.Error("the file system below is open to all")
	}
}

// ReuseForWrite makes a file that has nothing of the old one.
func TestReuseForWrite(t *testing.T) {
	base := vfs.NewMem()
	fs := sealed.New(base, keysOf(t, 1))
	zeros := strings.Repeat("\x00", 1000) // Sealed, they are the keystream itself.
	write(t, fs, "old", zeros)
	before, err := read(base, "old")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.ReuseForWrite("old", "new", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the new file has %d bytes, %v", info.Size(), err)
	}
	_, err = io.WriteString(f, zeros)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat("old"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file: %v", err)
	}
	after, err := read(base, "new")
	if err != nil {
		t.Fatal(err)
	}
	for i := 64; i+16 <= len(before); i += 16 {
		if strings.Contains(after, before[i:i+16]) {
			t.Fatalf("a piece of the keystream was used again, at %d", i)
		}
	}
	if _, err := fs.ReuseForWrite("old", "new", vfs.WriteCategoryUnspecified); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reusing what is not there: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"plain", good, true},
		{"with a newline", good + "\n", true},
		{"empty", "", false},
		{"short", good[2:], false},
		{"long", good + "00", false},
		{"two newlines", good + "\n\n", false},
		{"capitals", strings.ToUpper(good), false},
		{"not hex", strings.Repeat("0g", 32), false},
	} {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sealed.ReadKeys([]string{name})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, sealed.ErrKey) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && tt.text != "" && strings.Contains(err.Error(), strings.TrimSpace(tt.text)) {
			t.Errorf("%s: the error tells the key: %v", tt.name, err)
		}
	}
	key := keyFile(t, 1)
	for _, files := range [][]string{nil, {filepath.Join(t.TempDir(), "none")}, {key, key}} {
		if _, err := sealed.ReadKeys(files); !errors.Is(err, sealed.ErrKey) {
			t.Errorf("%d files: %v", len(files), err)
		}
	}
}
