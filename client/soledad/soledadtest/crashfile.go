package soledadtest

import (
	"io"
	"strconv"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A disk is a CrashFS as SQLite sees it.
type disk struct{ *CrashFS }

// Open implements vfs.VFS. Files are opened by OpenFilename.
func (d disk) Open(_ string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, flags, sqlite3.CANTOPEN
}

// OpenFilename implements vfs.VFSFilename.
func (d disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	base, flags, err := vfsutil.WrapOpenFilename(vfs.Find(""), name, flags)
	if err != nil || name == nil {
		return base, flags, err
	}
	c := d.CrashFS
	c.mu.Lock()
	defer c.mu.Unlock()
	// The index of the WAL is shared memory: it does not outlive a power failure.
	shm := vfs.NewSharedMemory(name.String()+"-shm"+strconv.Itoa(c.boot), flags)
	f := &crashFile{File: base, fs: c, path: name.String(), boot: c.boot, shm: shm}
	c.files[f] = true
	return f, flags, nil
}

// Delete implements vfs.VFS.
func (disk) Delete(name string, syncDir bool) error { return vfs.Find("").Delete(name, syncDir) }

// Access implements vfs.VFS.
func (disk) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return vfs.Find("").Access(name, flags)
}

// FullPathname implements vfs.VFS.
func (disk) FullPathname(name string) (string, error) { return vfs.Find("").FullPathname(name) }

// A crashFile is an open file. The file system's lock guards the File, too.
type crashFile struct {
	vfs.File
	fs   *CrashFS
	path string
	boot int // When it was opened.
	shm  vfs.SharedMemory
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *crashFile) SharedMemory() vfs.SharedMemory { return f.shm }

// locked calls op if there is power.
func (f *crashFile) locked(change bool, op func() error) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if change {
		f.fs.changing()
	}
	if f.boot != f.fs.boot {
		return sqlite3.IOERR
	}
	return op()
}

// ReadAt implements io.ReaderAt.
func (f *crashFile) ReadAt(p []byte, at int64) (n int, err error) {
	err = f.locked(false, func() error { n, err = f.File.ReadAt(p, at); return err })
	return n, err
}

// WriteAt implements io.WriterAt: it puts p into the cache.
func (f *crashFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.locked(true, func() error {
		for done := int64(0); done < int64(len(p)); {
			next := at + done
			size := min(f.fs.sector-next%f.fs.sector, int64(len(p))-done)
			old := make([]byte, size) // What was not there reads as zeros.
			if _, err := f.File.ReadAt(old, next); err != nil && err != io.EOF {
				return err
			}
			f.fs.cache[f.path] = append(f.fs.cache[f.path], sector{next, old})
			done += size
		}
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

// Truncate implements vfs.File.
func (f *crashFile) Truncate(size int64) error {
	return f.locked(true, func() error { return f.File.Truncate(size) })
}

// Sync implements vfs.File: what was written is safe now. The disk below needs
// no sync, since its power does not fail.
func (f *crashFile) Sync(vfs.SyncFlag) error {
	return f.locked(true, func() error {
		if !f.fs.lies {
			delete(f.fs.cache, f.path)
		}
		return nil
	})
}

// Size implements vfs.File.
func (f *crashFile) Size() (n int64, err error) {
	err = f.locked(false, func() error { n, err = f.File.Size(); return err })
	return n, err
}

// Lock implements vfs.File.
func (f *crashFile) Lock(l vfs.LockLevel) error {
	return f.locked(false, func() error { return f.File.Lock(l) })
}

// Unlock implements vfs.File. A power failure has unlocked everything.
func (f *crashFile) Unlock(l vfs.LockLevel) error {
	_ = f.locked(false, func() error { return f.File.Unlock(l) })
	return nil
}

// CheckReservedLock implements vfs.File.
func (f *crashFile) CheckReservedLock() (held bool, err error) {
	err = f.locked(false, func() error { held, err = f.File.CheckReservedLock(); return err })
	return held, err
}

// Close implements io.Closer. A power failure has closed everything.
func (f *crashFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.boot != f.fs.boot {
		return nil
	}
	delete(f.fs.files, f)
	return f.File.Close()
}

// DeviceCharacteristics implements vfs.File.
func (f *crashFile) DeviceCharacteristics() (c vfs.DeviceCharacteristic) {
	_ = f.locked(false, func() error { c = f.File.DeviceCharacteristics(); return nil }) // None without power.
	return c
}
