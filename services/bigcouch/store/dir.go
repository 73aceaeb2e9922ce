package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDir makes a directory and those above it that are missing, durably: a
// store is no use when a power cut takes the way to it.
func makeDir(fs vfs.FS, dir string) error {
	_, err := fs.Stat(dir)
	above := fs.PathDir(dir)
	if err == nil || above == dir {
		return nil
	}
	if err := makeDir(fs, above); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d, err := fs.OpenDir(above)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
