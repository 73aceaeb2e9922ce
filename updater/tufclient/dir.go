package tufclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Dir is a directory with the files of a repository: a bundle that was unpacked,
// or a medium that was carried there.
type Dir string

// String returns the path.
func (d Dir) String() string { return string(d) }

// Fetch implements [Source]. No name leaves the directory, and nothing is read
// but regular files.
func (d Dir) Fetch(_ context.Context, name string, limit, off int64) (io.ReadCloser, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, err
	}
	f, err := openIn(root, name, limit)
	if err == nil {
		_, err = f.Seek(off, io.SeekStart)
	}
	if err = errors.Join(err, root.Close()); err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	return f, nil
}

func openIn(root *os.Root, name string, limit int64) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrLength, name, info.Size(), limit)
	}
	return root.Open(name)
}
