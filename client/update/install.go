package update

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"leap.example/updater/target"
)

// Install makes a prefix of a directory, which is made if it is missing, or
// changes one: a program becomes current as a version. A vendor, nil: none, is
// written down for it. Whoever calls it owns the prefix.
func Install(p Prefix, program, version string, vendor *Vendor) error {
	if err := target.CheckVersion(version); err != nil {
		return fmt.Errorf("the program's %w: build one with a version", err)
	}
	if !filepath.IsAbs(string(p)) {
		return fmt.Errorf("%w: %s is not absolute", ErrPrefix, p)
	}
	if err := os.MkdirAll(filepath.Dir(string(p)), 0o755); err != nil {
		return err
	}
	u := &Updater{cfg: Config{Prefix: p, Dir: p.Dir()}, disk: osDisk{}}
	dir := filepath.Dir(p.Program(version))
	for _, d := range []string{string(p), p.join(versionsDir), dir, p.Dir()} {
		if err := u.disk.Mkdir(d); err != nil {
			return full(err)
		}
	}
	if !p.Mine() {
		return ErrNotMine
	}
	if vendor != nil {
		text, err := vendor.Encode()
		if err != nil {
			return err
		}
		if err := replace(u.disk, p.join(vendorFile), text, 0o644); err != nil {
			return err
		}
	}
	if _, err := u.secret(); err != nil {
		return err
	}
	if err := u.place(program, p.Program(version)); err != nil {
		return full(fmt.Errorf("copying the program: %w", err))
	}
	return u.link(version)
}

// place copies a program to where it belongs, if it is not there.
func (u *Updater) place(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if a, err := in.Stat(); err != nil {
		return err
	} else if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
		return nil
	}
	part := filepath.Join(filepath.Dir(to), partFile)
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = errors.Join(out.Chmod(0o755), out.Sync())
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, u.disk.Remove(part))
	}
	if err := u.disk.Rename(part, to); err != nil {
		return err
	}
	return errors.Join(u.disk.SyncDir(filepath.Dir(to)), u.disk.SyncDir(u.cfg.Prefix.join(versionsDir)))
}
