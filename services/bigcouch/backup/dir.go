package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Dir is a directory, which is made when it is first written to.
type Dir string

// partial begins the names of files that are not whole yet.
const partial = ".partial-"

// Put implements Place.
func (d Dir) Put(ctx context.Context, name string, r io.Reader) (err error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	d.tidy(name)
	temp, final := filepath.Join(string(d), partial+name), filepath.Join(string(d), name)
	if _, err := os.Lstat(final); err == nil {
		return fmt.Errorf("%s: %w", final, fs.ErrExist)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, until{ctx, r})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, final)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return d.sync()
}

// tidy removes what a process that was killed has left of backups of the same
// node: a node has one backup taken at a time.
func (d Dir) tidy(name string) {
	node, _ := parseName(name)
	left, _ := filepath.Glob(filepath.Join(string(d), partial+"*")) // The pattern is a good one, but for a strange directory.
	for _, path := range left {
		if of, _ := parseName(strings.TrimPrefix(filepath.Base(path), partial)); of == node {
			_ = os.Remove(path) // Then it stays, and does no harm.
		}
	}
}

// until reads until ctx is done. An end that comes too soon is not
// io.ErrUnexpectedEOF, which minio takes for a good one.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("reading the backup: %w", err)
	}
	return n, err
}

func (d Dir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// List implements Place.
func (d Dir) List(context.Context) (names []string, err error) {
	all, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if isName(e.Name()) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Open implements Place.
func (d Dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoBackup, filepath.Join(string(d), name))
	}
	return f, err
}

// Remove implements Place.
func (d Dir) Remove(_ context.Context, name string) error {
	if err := os.Remove(filepath.Join(string(d), name)); err != nil {
		return err
	}
	return d.sync()
}
