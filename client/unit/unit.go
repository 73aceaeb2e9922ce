// Package unit puts units where systemd finds them, as "systemctl enable" does
// with those that a package brought. It does not speak to systemd.
package unit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// wanted is the link by which a target starts a unit.
func wanted(dir, name, target string) string { return filepath.Join(dir, target+".wants", name) }

// Write makes text the unit called name in dir, a directory of units, and has
// target start it; with no target, others do.
func Write(dir, name, target string, text []byte) error {
	path, link := filepath.Join(dir, name), wanted(dir, name, target)
	above := dir
	if target != "" {
		above = filepath.Dir(link)
	}
	if err := os.MkdirAll(above, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if target == "" {
		return nil
	}
	if err := os.Symlink(filepath.Join("..", name), link); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Remove removes what Write wrote, if it is there.
func Remove(dir, name, target string) error {
	for _, path := range []string{wanted(dir, name, target), filepath.Join(dir, name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
