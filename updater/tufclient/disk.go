package tufclient

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A disk is how files are changed, and nothing else changes any. Tests have one
// that fills up and one whose power fails.
type disk interface {
	Open(path string, mode fs.FileMode) (file, error) // To read and write; made if it is not there.
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(path string) error // Makes the names in it durable.
}

// A file is one that is being written.
type file interface {
	Slot
	io.Closer
}

type osDisk struct{}

func (osDisk) Open(path string, mode fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
}
func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) Remove(path string) error     { return os.Remove(path) }
func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replace writes a file as a whole: beside its place, fsync, rename, fsync of the
// directory. What a crash leaves beside it is written over the next time.
func replace(d disk, path string, data []byte) error {
	beside := path + ".new"
	f, err := d.Open(beside, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(beside, path)
	}
	if err != nil {
		return errors.Join(err, d.Remove(beside)) // Above all if the disk is full.
	}
	return d.SyncDir(filepath.Dir(path))
}
