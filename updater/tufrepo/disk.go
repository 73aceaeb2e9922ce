package tufrepo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Limits of what is read. Those of metadata are the limits of clients.
const (
	maxRoot    = 512_000
	maxTargets = 5_000_000
	maxSmall   = 256 << 10 // Key files, signatures.
	maxEvent   = 5_000_000
)

// put writes a file as a whole: beside its place, fsync, rename, fsync of the
// directory. Directories that are missing are made, and made durable.
func put(path string, from io.Reader, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // After the rename there is nothing to remove.
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// putJSON writes v, for people to read.
func putJSON(path string, v any, mode fs.FileMode) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return put(path, bytes.NewReader(append(text, '\n')), mode)
}

// makeDir makes a directory and those above it that are missing.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read reads a file of at most limit bytes.
func read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes: %w", path, limit, ErrFormat)
	}
	return text, err
}

// decode reads one JSON value, and nothing beside what v declares.
func decode(what string, text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w (%w)", what, err, ErrFormat)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows the JSON value: %w", what, ErrFormat)
	}
	return nil
}

// checkFormat judges the format of a stored thing.
func checkFormat(what string, got int) error {
	if got != format {
		return fmt.Errorf("%s has format %d, this program reads %d: use the program that wrote it: %w", what, got, format, ErrFormat)
	}
	return nil
}

// format is the version of every file of this package that is not TUF's.
const format = 1
