// Package durable replaces files so that a crash leaves the old content or the
// new one, never a part.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace makes data the content of the file at path, mode 0600. When it
// returns without an error the content outlives a power cut.
func Replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // Mode 0600.
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
