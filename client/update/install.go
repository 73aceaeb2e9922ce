package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"leap.example/updater/target"
)

// Install makes a prefix of a directory, which is made if it is missing, or
// changes one, once nobody else is at it: a program becomes current as a version. A
// vendor, nil: none, is written down for it. Whoever calls it owns the prefix.
// [ErrNotMine], and nothing was made: the directory, one in it, or the one above it is
// another user's, who could put anything in its place, or a link. [WritableError], and
// nothing was made either: others can write there.
func Install(ctx context.Context, p Prefix, program, version string, vendor *Vendor) error {
	if err := target.CheckVersion(version); err != nil {
		return fmt.Errorf("the program's %w: build one with a version", err)
	}
	if !filepath.IsAbs(string(p)) {
		return fmt.Errorf("%w: %s is not absolute", ErrPrefix, p)
	}
	u := &Updater{cfg: Config{Prefix: p, Dir: p.Dir()}, disk: osDisk{}}
	if err := trusted(Above(p)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(p)), 0o755); err != nil {
		return full(err)
	}
	if err := u.makeDirs(string(p), p.Dir()); err != nil {
		return err
	}
	unlock, err := u.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := u.makeDirs(p.join(versionsDir), filepath.Dir(p.Program(version))); err != nil {
		return err
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

// makeDirs makes directories that are not there, each below the one before it or one
// that is this user's own.
func (u *Updater) makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := u.disk.Mkdir(dir); err != nil {
			return full(err)
		}
		if err := own(dir); err != nil {
			return err
		}
	}
	return nil
}

// Above is the directory above a prefix, or the nearest one to it that is there.
func Above(p Prefix) string {
	dir := filepath.Dir(filepath.Clean(string(p)))
	for dir != filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// trusted refuses a directory of somebody who is neither this user nor root, and one in
// which others can write and rename what is not theirs: they can put another directory in
// the place of one in it.
func trusted(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid := owner(info); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%w (%s is its)", ErrNotMine, dir)
	}
	if info.Mode()&fs.ModeSticky != 0 { // There everybody renames only what is his.
		return nil
	}
	return closed(dir, info)
}

// closed refuses a directory in which others than its owner may write. A group is others,
// whoever is in it today.
func closed(dir string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return &WritableError{dir, mode}
	}
	return nil
}

// own refuses what is no directory of this user's own, a link, and one in which
// others may write.
func own(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || owner(info) != os.Geteuid() {
		return fmt.Errorf("%w (%s is its, or a link)", ErrNotMine, dir)
	}
	return closed(dir, info)
}

// owner is the user to whom a file belongs; -1: nobody knows.
func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
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
