package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Files beside the store that say what is the matter with it.
const (
	marker    = "DAMAGED"   // It is damaged, and how.
	restoring = "RESTORING" // It is being restored.
)

// ErrOccupied means that there is something where a store is to be restored.
var ErrOccupied = errors.New("the directory is not empty")

// prepare looks at the marks before the store is opened.
func (s *Store) prepare() error {
	if s.opts.Restoring {
		return s.beginRestore()
	}
	text, err := s.read(restoring)
	if err != nil {
		return err
	}
	if text != "" {
		return fmt.Errorf("%w: %s is of a restore that did not end: restore again, or empty the directory", ErrDamaged, s.path(restoring))
	}
	if text, err = s.read(marker); err != nil || text == "" {
		return err
	}
	err = fmt.Errorf("%w: %s says: %s", ErrDamaged, s.path(marker), text)
	if s.opts.ReadOnly {
		s.once.Do(func() { s.damage = err; close(s.damaged) })
		return nil
	}
	return err
}

func (s *Store) path(name string) string { return s.opts.FS.PathJoin(s.opts.Dir, name) }

// beginRestore empties the directory of a restore that did not end, and marks
// it as one that has begun.
func (s *Store) beginRestore() error {
	names, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return err
	}
	begun, err := s.read(restoring)
	if err != nil {
		return err
	}
	if begun == "" && len(names) > 0 {
		return fmt.Errorf("%w: %s", ErrOccupied, s.opts.Dir)
	}
	for _, name := range names {
		if name != restoring {
			err = errors.Join(err, s.opts.FS.RemoveAll(s.path(name)))
		}
	}
	return errors.Join(err, s.mark(restoring, "a restore has begun"))
}

// Restored ends the restoring of a store: it may be opened from now on.
func (s *Store) Restored() error {
	if err := s.db.Flush(); err != nil {
		return err
	}
	if err := s.opts.FS.Remove(s.path(restoring)); err != nil {
		return err
	}
	return s.syncDir()
}

// mark leaves a mark, durably.
func (s *Store) mark(name, text string) error {
	f, err := s.opts.FS.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, text)
	return errors.Join(err, f.Sync(), f.Close(), s.syncDir())
}

func (s *Store) syncDir() error {
	dir, err := s.opts.FS.OpenDir(s.opts.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// read returns what a mark says, "" if it is not there.
func (s *Store) read(name string) (string, error) {
	f, err := s.opts.FS.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for marks: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if len(text) == 0 {
		text = []byte("nothing")
	}
	return string(text), errors.Join(err, f.Close())
}
