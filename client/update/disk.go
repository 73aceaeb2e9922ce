package update

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"leap.example/updater/tufclient"
)

// A disk is how a prefix is changed, and nothing else changes it but tufclient,
// what it trusts. Tests have one that fills up and one whose power fails.
type disk interface {
	Open(path string, mode fs.FileMode) (file, error) // To read and write; made if it is not there.
	Mkdir(path string) error                          // If it is not there.
	Symlink(to, path string) error
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(path string) error // Makes the names in it durable.
}

// A file is one that is being written.
type file interface {
	tufclient.Slot
	Chmod(mode fs.FileMode) error
	Close() error
}

type osDisk struct{}

func (osDisk) Open(path string, mode fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, mode)
}

func (osDisk) Mkdir(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(path, 0o755) // Whatever the umask is.
	}
	return err
}
func (osDisk) Symlink(to, path string) error { return os.Symlink(to, path) }
func (osDisk) Rename(from, to string) error  { return os.Rename(from, to) }
func (osDisk) Remove(path string) error      { return os.Remove(path) }
func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replace writes a file as a whole: beside its place, fsync, rename, fsync of the
// directory.
func replace(d disk, path string, data []byte, mode fs.FileMode) error {
	beside := path + ".new"
	f, err := d.Open(beside, 0o600)
	if err != nil {
		return full(err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(beside, path)
	}
	if err != nil {
		return full(errors.Join(err, d.Remove(beside)))
	}
	return full(d.SyncDir(filepath.Dir(path)))
}

// full wraps errors of a full disk in [tufclient.ErrSpace].
func full(err error) error {
	if err != nil && !errors.Is(err, tufclient.ErrSpace) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return errors.Join(tufclient.ErrSpace, err)
	}
	return err
}
