package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"leap.example/updater/tufclient"
)

// partFile is a program that is not verified, or not tried.
const partFile = ".leapc.part"

// Fetch implements [tufclient.Source].
func (n noted) Fetch(ctx context.Context, name string, limit, off int64) (io.ReadCloser, error) {
	r, err := n.HTTP.Fetch(ctx, name, limit, off)
	if err == nil {
		n.u.source = n.String()
	}
	return r, err
}

// fetch brings a release into its place, verified, tried and durable. What there
// is of it from an earlier time is not fetched again.
func (u *Updater) fetch(ctx context.Context, t *tufclient.Target) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	program := u.cfg.Prefix.Program(t.Description.Version)
	dir := filepath.Dir(program)
	part := filepath.Join(dir, partFile)
	if err := errors.Join(u.disk.Mkdir(dir), u.disk.SyncDir(filepath.Dir(dir))); err != nil {
		return full(err)
	}
	// One that was whole when the process ended is judged like a part of one.
	if err := u.disk.Rename(program, part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return full(err)
	}
	f, err := u.disk.Open(part, 0o600)
	if err != nil {
		return full(err)
	}
	err = u.client.Fetch(ctx, t, f)
	if err == nil {
		err = errors.Join(f.Chmod(0o755), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return full(err)
	}
	if err := u.try(ctx, t, part); err != nil {
		return err
	}
	if err := u.disk.Rename(part, program); err != nil {
		return full(err)
	}
	return full(u.disk.SyncDir(dir))
}

// try starts a program that is verified, and compares what it says with what was
// signed. One that does not do is removed.
func (u *Updater) try(ctx context.Context, t *tufclient.Target, program string) error {
	short, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	d := t.Description
	says, err := u.cfg.Try(short, program)
	if ctx.Err() != nil {
		return ctx.Err() // It was not the program's fault.
	}
	if err == nil && (says.Version != d.Version || says.OS != d.OS || says.Arch != d.Arch) {
		err = fmt.Errorf("%w: it is signed as %s for %s-%s, and says that it is %.40q for %.20q-%.20q",
			ErrOther, d.Version, d.OS, d.Arch, says.Version, says.OS, says.Arch)
	}
	if errors.Is(err, ErrOther) || errors.Is(err, ErrTry) {
		return errors.Join(err, u.disk.Remove(program))
	}
	return err
}
