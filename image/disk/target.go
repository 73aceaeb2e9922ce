package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A target is what is flashed: a file, or a device that nobody else uses.
type target struct {
	*os.File
	size   int64
	device bool
}

// openTarget opens path for writing and makes it blank at both ends, where
// partition tables are. A file is made with these permissions, or emptied; it
// has afterwards the size least, or its old one if that is larger.
func openTarget(path string, least int64, perm fs.FileMode) (*target, error) {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || info.Mode().IsRegular() {
		size := least
		if err == nil {
			size = max(size, info.Size())
		}
		return openFile(path, size, perm)
	}
	if info.Mode().Type() != fs.ModeDevice { // Character devices have another bit too.
		return nil, fmt.Errorf("%s is neither a file nor a block device", path)
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k := kernel{proc: os.DirFS("/proc"), sys: os.DirFS("/sys")}
	if err := k.checkFree(unix.Major(stat.Rdev), unix.Minor(stat.Rdev)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return openDevice(path, least)
}

func openFile(path string, size int64, perm fs.FileMode) (*target, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(perm), f.Truncate(size)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &target{f, size, false}, nil
}

func openDevice(path string, least int64) (*target, error) {
	// With O_EXCL the kernel refuses a device that it uses itself, in whole or
	// in part, and keeps it from being mounted until it is closed (open(2)).
	f, err := os.OpenFile(path, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(f)
	if err == nil && size < least {
		err = fmt.Errorf("%s has %d MiB, %d are needed", path, size>>20, (least+chunk-1)>>20)
	}
	if err == nil {
		zeros := make([]byte, chunk)
		_, first := f.WriteAt(zeros[:min(chunk, size)], 0)
		_, last := f.WriteAt(zeros[:min(chunk, size)], size-min(chunk, size))
		err = errors.Join(first, last)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &target{f, size, true}, nil
}

// settle waits until everything is on the disk, and has what is read afterwards
// come from there.
func (t *target) settle() error {
	if err := t.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(t.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping what is cached of %s: %w", t.Name(), err)
	}
	return nil
}

// sizeOf is the size of a file or block device.
func sizeOf(f *os.File) (int64, error) { return f.Seek(0, io.SeekEnd) }
