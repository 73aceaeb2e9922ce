package sealed_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"leap.example/services/bigcouch/sealed"
)

// Whatever the disk says is what the caller hears, above all that it is full.
func TestErrorsPass(t *testing.T) {
	for _, op := range []struct {
		name string
		kind errorfs.OpKind
		do   func(vfs.FS) error
	}{
		{"Create", errorfs.OpCreate, func(fs vfs.FS) error { _, err := fs.Create("n", ""); return err }},
		{"Open", errorfs.OpOpen, func(fs vfs.FS) error { _, err := fs.Open("f"); return err }},
		{"read of the header", errorfs.OpFileReadAt, func(fs vfs.FS) error { _, err := fs.Open("f"); return err }},
		{"Link", errorfs.OpLink, func(fs vfs.FS) error { return fs.Link("f", "g") }},
		{"Rename", errorfs.OpRename, func(fs vfs.FS) error { return fs.Rename("f", "g") }},
		{"Remove", errorfs.OpRemove, func(fs vfs.FS) error { return fs.Remove("f") }},
		{"RemoveAll", errorfs.OpRemoveAll, func(fs vfs.FS) error { return fs.RemoveAll("f") }},
		{"ReuseForWrite", errorfs.OpRemove, func(fs vfs.FS) error { _, err := fs.ReuseForWrite("f", "g", ""); return err }},
		{"MkdirAll", errorfs.OpMkdirAll, func(fs vfs.FS) error { return fs.MkdirAll("d", 0o700) }},
		{"Lock", errorfs.OpLock, func(fs vfs.FS) error { _, err := fs.Lock("l"); return err }},
		{"List", errorfs.OpList, func(fs vfs.FS) error { _, err := fs.List(""); return err }},
		{"Stat", errorfs.OpStat, func(fs vfs.FS) error { _, err := fs.Stat("f"); return err }},
		{"OpenDir", errorfs.OpOpenDir, func(fs vfs.FS) error { _, err := fs.OpenDir(""); return err }},
		{"GetDiskUsage", errorfs.OpGetDiskUsage, func(fs vfs.FS) error { _, err := fs.GetDiskUsage(""); return err }},
		{"Write", errorfs.OpFileWrite, write1},
		{"sync of the header", errorfs.OpFileSyncData, write1},
		{"Sync", errorfs.OpFileSync, onFile(func(f vfs.File) error { return f.Sync() })},
		{"SyncData", errorfs.OpFileSyncData, onFile(func(f vfs.File) error { return f.SyncData() })},
		{"SyncTo", errorfs.OpFileSyncTo, onFile(func(f vfs.File) error { _, err := f.SyncTo(1); return err })},
		{"Preallocate", errorfs.OpFilePreallocate, onFile(func(f vfs.File) error { return f.Preallocate(0, 1) })},
		{"file Stat", errorfs.OpFileStat, onFile(func(f vfs.File) error { _, err := f.Stat(); return err })},
	} {
		base := vfs.NewMem()
		full := false
		fs := sealed.New(errorfs.Wrap(base, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if full && o.Kind == op.kind {
				return syscall.ENOSPC
			}
			return nil
		})), keysOf(t, 1))
		write(t, fs, "f", "text")
		full = true
		if err := op.do(fs); !vfs.IsNoSpaceError(err) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", op.name, err)
		}
	}
}

func write1(fs vfs.FS) error {
	return onFile(func(f vfs.File) error { _, err := io.WriteString(f, "x"); return err })(fs)
}

func onFile(do func(vfs.File) error) func(vfs.FS) error {
	return func(fs vfs.FS) error {
		f, err := fs.Create("n", vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}
}

// A small disk takes so many bytes and is full then, until it is cleaned.
type small struct {
	vfs.FS
	left int
}

func (s *small) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return &smallFile{f, s}, err
}

type smallFile struct {
	vfs.File
	s *small
}

func (f *smallFile) Write(p []byte) (int, error) {
	n := min(len(p), f.s.left)
	f.s.left -= n
	if n > 0 {
		if _, err := f.File.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// A write that stopped in the middle, in header or text, is gone on with when
// there is space again, by vfs.OnDiskFull above the seal and below it.
func TestDiskFull(t *testing.T) {
	text := strings.Repeat("some text to write. ", 8000)
	for _, above := range []bool{true, false} {
		for left := 0; left < len(text)+64; left += 1 + left/3 {
			base := &small{FS: vfs.NewMem(), left: left}
			times := 0
			clean := func() { base.left, times = 1<<30, times+1 }
			var fs vfs.FS
			if above {
				fs = vfs.OnDiskFull(sealed.New(base, keysOf(t, 1)), clean)
			} else {
				fs = sealed.New(vfs.OnDiskFull(base, clean), keysOf(t, 1))
			}
			write(t, fs, "f", text)
			if got, err := read(fs, "f"); got != text || err != nil || times != 1 {
				t.Errorf("%d bytes left: %d of %d read back, %v; cleaned %d times", left, len(got), len(text), err, times)
			}
		}
	}
}

// A file whose header could not be synced takes no text: it might be lost.
func TestHeaderNotSynced(t *testing.T) {
	base := vfs.NewMem()
	broken := true
	fs := sealed.New(errorfs.Wrap(base, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if broken && o.Kind == errorfs.OpFileSyncData {
			return syscall.EIO
		}
		return nil
	})), keysOf(t, 1))
	f, err := fs.Create("f", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 2 {
		if n, err := io.WriteString(f, "text"); n != 0 || !errors.Is(err, syscall.EIO) {
			t.Errorf("try %d: %d, %v", i, n, err)
		}
		broken = false // A sync that succeeds now says nothing of what was lost.
	}
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Error(fmt.Sprint(info.Size(), err))
	}
}
