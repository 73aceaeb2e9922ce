package update

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"leap.example/updater/target"
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

// fetch brings a release into its place, verified, tried and durable, and says how
// it came: by what leads from the current version to it, if there is that. What
// there is of it from an earlier time is not fetched again.
func (u *Updater) fetch(ctx context.Context, v *tufclient.View, t *tufclient.Target, from string) (how string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	program := u.cfg.Prefix.Program(t.Description.Version)
	dir := filepath.Dir(program)
	part := filepath.Join(dir, partFile)
	if err := errors.Join(u.disk.Mkdir(dir), u.disk.SyncDir(filepath.Dir(dir))); err != nil {
		return "", full(err)
	}
	// One that was whole when the process ended is judged like a part of one.
	if err := u.disk.Rename(program, part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", full(err)
	}
	f, err := u.disk.Open(part, 0o600)
	if err != nil {
		return "", full(err)
	}
	how, err = u.transfer(ctx, v, t, from, f)
	if err == nil {
		err = errors.Join(f.Chmod(0o755), f.Sync())
	}
	if err = full(errors.Join(err, f.Close())); errors.Is(err, tufclient.ErrSpace) {
		// Nobody else shall want for what it has taken of the disk.
		return "", errors.Join(err, u.disk.Remove(part))
	}
	if err != nil {
		return "", err
	}
	if err := u.try(ctx, t, part); err != nil {
		return "", err
	}
	if err := u.disk.Rename(part, program); err != nil {
		return "", full(err)
	}
	return how, full(u.disk.SyncDir(dir))
}

// transfer fetches a program into a file.
func (u *Updater) transfer(ctx context.Context, v *tufclient.View, t *tufclient.Target, from string, f file) (string, error) {
	old, done, err := open(u.cfg.Prefix.Program(from))
	if err != nil {
		return "", fmt.Errorf("reading the program that is current: %w", err)
	}
	defer done()
	tr, err := u.client.FetchFrom(ctx, v, t, old, f)
	if err != nil {
		return "", err
	}
	for _, err := range tr.Failed {
		u.cfg.Log.Info("a smaller way to the release did not do", "err", err)
	}
	switch {
	case tr.Path == "":
		return "it was there", nil
	case tr.Path == t.Path:
		return fmt.Sprintf("%d bytes, whole", tr.Fetched), nil
	case tr.Path == target.PackedPath(t.Path):
		return fmt.Sprintf("%d bytes, packed", tr.Fetched), nil
	}
	return fmt.Sprintf("%d bytes, by what has changed", tr.Fetched), nil
}

// open opens a program to which a delta may be applied.
func open(path string) (old *tufclient.Old, done func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &tufclient.Old{ReaderAt: f, SHA256: [sha256.Size]byte(sum.Sum(nil)), Length: n}, func() { _ = f.Close() }, nil
}

// try tries a program that is verified. One that does not do is removed.
func (u *Updater) try(ctx context.Context, t *tufclient.Target, program string) error {
	err := u.tried(ctx, t.Description, program)
	if errors.Is(err, ErrOther) || errors.Is(err, ErrTry) {
		return errors.Join(err, u.disk.Remove(program))
	}
	return err
}

// tried starts a program, and compares what it says with what was signed.
func (u *Updater) tried(ctx context.Context, d *target.Description, program string) error {
	short, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	says, err := u.cfg.Try(short, program)
	if ctx.Err() != nil {
		return ctx.Err() // It was not the program's fault.
	}
	if err == nil && (says.Version != d.Version || says.OS != d.OS || says.Arch != d.Arch) {
		err = fmt.Errorf("%w: it is signed as %s for %s-%s, and says that it is %.40q for %.20q-%.20q",
			ErrOther, d.Version, d.OS, d.Arch, says.Version, says.OS, says.Arch)
	}
	return err
}
