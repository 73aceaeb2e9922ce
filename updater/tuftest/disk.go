package tuftest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Tree is what files there are, by their names below a directory. Links say
// where they lead.
type Tree map[string]string

const leadsTo = "-> "

// ReadTree reads what is below a directory.
func ReadTree(t testing.TB, dir string) Tree {
	t.Helper()
	all := Tree{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			all[name] = leadsTo + to
			return err
		}
		text, err := os.ReadFile(path)
		all[name] = string(text)
		return err
	}))
	return all
}

// Write writes the files below a directory, for everybody to read and run.
func (all Tree) Write(t testing.TB, dir string) {
	t.Helper()
	for name, text := range all {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if to, ok := strings.CutPrefix(text, leadsTo); ok {
			must(t, os.Symlink(to, path))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o755))
	}
}

// A Disk is one that, from the step of a number on, is full, or is that of a
// process that was killed: nothing happens any longer, and what was done stays.
// One that never fails keeps, before each step, what a cut of the power leaves: of
// a name that was changed the old or the new one or both, of content that was not
// synced anything from nothing to all. The machine itself stays up.
type Disk struct {
	Steps int             // That were begun.
	Left  map[string]Tree // What a cut leaves, each once.

	t        testing.TB
	dir      string
	at       int // It fails at this step; 0: never.
	err      error
	durable  Tree
	unsynced map[string]bool
}

// ErrKilled is what a step fails with in a process that was killed.
var ErrKilled = errors.New("the process was killed")

// NewDisk returns a disk, of a directory, that fails with err, [ErrKilled] or
// [syscall.ENOSPC], from the step at on; 0: never.
func NewDisk(t testing.TB, dir string, at int, err error) *Disk {
	t.Helper()
	return &Disk{t: t, dir: dir, at: at, err: err, durable: ReadTree(t, dir), unsynced: map[string]bool{}, Left: map[string]Tree{}}
}

func (d *Disk) name(path string) string { return strings.TrimPrefix(path, d.dir+"/") }

func (d *Disk) now(share int) Tree {
	all := ReadTree(d.t, d.dir)
	for name := range d.unsynced {
		all[name] = all[name][:len(all[name])*share/2]
	}
	return all
}

// next is called before each step. It reports whether the step fails; a full disk
// keeps nobody from what needs no room.
func (d *Disk) next(needsRoom bool) error {
	d.Steps++
	if d.at == 0 {
		d.Cut()
	} else if d.Steps >= d.at && (needsRoom || !errors.Is(d.err, syscall.ENOSPC)) {
		return d.err
	}
	return nil
}

// Cut keeps what a cut of the power now leaves.
func (d *Disk) Cut() {
	for share := range 3 {
		now := d.now(share)
		both := maps.Clone(now)
		maps.Copy(both, d.durable)
		for _, left := range []Tree{d.durable, now, both} {
			d.Left[fmt.Sprint(left)] = maps.Clone(left)
		}
	}
}

// A DiskFile is a file on a disk.
type DiskFile struct {
	file
	d    *Disk
	name string
}

// file is what of a file goes by the disk, and nothing else of [os.File].
type file interface {
	io.ReadWriteSeeker
	io.Closer
	Truncate(size int64) error
	Chmod(mode fs.FileMode) error
}

// OpenFile opens a file to read and write; it is made if it is not there.
func (d *Disk) OpenFile(path string, mode fs.FileMode) (*DiskFile, error) {
	if err := d.next(true); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	d.unsynced[d.name(path)] = true
	return &DiskFile{f, d, d.name(path)}, nil
}

// Write implements io.Writer.
func (f *DiskFile) Write(p []byte) (int, error) {
	f.d.unsynced[f.name] = true
	if err := f.d.next(true); err != nil {
		n, _ := f.file.Write(p[:len(p)/2]) // As a full disk does, too.
		return n, err
	}
	return f.file.Write(p)
}

// Truncate cuts the file.
func (f *DiskFile) Truncate(n int64) error {
	if err := f.d.next(false); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

// Chmod sets who may read, write and run it.
func (f *DiskFile) Chmod(mode fs.FileMode) error {
	if err := f.d.next(false); err != nil {
		return err
	}
	return f.file.Chmod(mode)
}

// Sync makes the content durable.
func (f *DiskFile) Sync() error {
	if err := f.d.next(true); err != nil {
		return err
	}
	delete(f.d.unsynced, f.name)
	return nil
}

// Mkdir makes a directory, if it is not there.
func (d *Disk) Mkdir(path string) error {
	if err := d.next(true); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Symlink makes a link.
func (d *Disk) Symlink(to, path string) error {
	if err := d.next(true); err != nil {
		return err
	}
	return os.Symlink(to, path)
}

// Rename renames a file, which must be durable.
func (d *Disk) Rename(from, to string) error {
	if err := d.next(false); err != nil {
		return err
	}
	if d.unsynced[d.name(from)] {
		d.t.Errorf("%s is renamed before it is synced", from)
	}
	return os.Rename(from, to)
}

// Remove removes a file.
func (d *Disk) Remove(path string) error {
	if err := d.next(false); err != nil {
		return err
	}
	delete(d.unsynced, d.name(path))
	return os.Remove(path)
}

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(path string) error {
	if err := d.next(false); err != nil {
		return err
	}
	in := func(name string) bool { return filepath.Join(d.dir, filepath.Dir(name)) == path }
	maps.DeleteFunc(d.durable, func(name, _ string) bool { return in(name) })
	for name, text := range d.now(1) {
		if in(name) {
			d.durable[name] = text
		}
	}
	return nil
}
