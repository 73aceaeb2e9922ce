package sealed

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system whose files are sealed on the one below. Errors of that
// one pass through as they are.
type FS struct {
	base vfs.FS
	keys *Keys

	// mu is held while a name goes away, and while Reseal puts a file in the
	// place of another: it must not bring back one that is gone.
	mu sync.Mutex
}

var _ vfs.FS = (*FS)(nil)

// New returns a sealed file system on base.
func New(base vfs.FS, keys *Keys) *FS { return &FS{base: base, keys: keys} }

// Current returns the id of the key that seals new files.
func (s *FS) Current() KeyID { return s.keys.current.id }

// Create implements vfs.FS.
func (s *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.base.Create(name, category)
	if err != nil {
		return nil, err
	}
	return newWriter(f, s.keys, name), nil
}

// Open implements vfs.FS. It returns ErrKey, ErrPlain or ErrDamaged if the file
// cannot be read.
func (s *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	base, err := s.base.Open(name, opts...) // Advice is for the file below.
	if err != nil {
		return nil, err
	}
	f := &file{base: base, keys: s.keys, name: name}
	if _, err := f.keystream(); err != nil {
		return nil, closing(base, err)
	}
	return f, nil
}

// OpenReadWrite refuses: to write a place of a file twice is to use a piece of
// the keystream twice. Pebble calls it for a cache of remote objects only.
func (s *FS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, &os.PathError{Op: "open for writing", Path: name, Err: fmt.Errorf("%w: %w", errAppendOnly, vfs.ErrUnsupported)}
}

// ReuseForWrite implements vfs.FS. Nothing of the old file is reused: the new
// one has a keystream of its own.
func (s *FS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.Remove(oldname); err != nil {
		return nil, err
	}
	return s.Create(newname, category)
}

// Link implements vfs.FS: both names lead to header and text.
func (s *FS) Link(oldname, newname string) error { return s.base.Link(oldname, newname) }

// Rename implements vfs.FS.
func (s *FS) Rename(oldname, newname string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base.Rename(oldname, newname)
}

// Remove implements vfs.FS.
func (s *FS) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base.Remove(name)
}

// RemoveAll implements vfs.FS.
func (s *FS) RemoveAll(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base.RemoveAll(name)
}

// Stat implements vfs.FS. The size is that of the text.
func (s *FS) Stat(name string) (vfs.FileInfo, error) { return withoutHeader(s.base.Stat(name)) }

// Lock implements vfs.FS. A file that only locks is empty, and needs no header.
func (s *FS) Lock(name string) (io.Closer, error) { return s.base.Lock(name) }

// OpenDir implements vfs.FS.
func (s *FS) OpenDir(name string) (vfs.File, error) { return s.base.OpenDir(name) }

// MkdirAll implements vfs.FS.
func (s *FS) MkdirAll(dir string, perm os.FileMode) error { return s.base.MkdirAll(dir, perm) }

// List implements vfs.FS.
func (s *FS) List(dir string) ([]string, error) { return s.base.List(dir) }

// PathBase implements vfs.FS.
func (s *FS) PathBase(path string) string { return s.base.PathBase(path) }

// PathJoin implements vfs.FS.
func (s *FS) PathJoin(elem ...string) string { return s.base.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (s *FS) PathDir(path string) string { return s.base.PathDir(path) }

// GetDiskUsage implements vfs.FS.
func (s *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) { return s.base.GetDiskUsage(path) }

// Unwrap implements vfs.FS. It says that there is nothing below: whoever went
// there would write in the clear.
func (s *FS) Unwrap() vfs.FS { return nil }

// A fileInfo is that of the file below, without its header.
type fileInfo struct{ vfs.FileInfo }

func (i fileInfo) Size() int64 { return max(0, i.FileInfo.Size()-headerSize) }

func withoutHeader(i vfs.FileInfo, err error) (vfs.FileInfo, error) {
	if err != nil || i.IsDir() {
		return i, err
	}
	return fileInfo{i}, nil
}
