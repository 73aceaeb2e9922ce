package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// checkpointPrefix begins the names of checkpoints, directories in that of the
// store.
const checkpointPrefix = "checkpoint-"

// ErrNoCheckpoint means that there is none of that name.
var ErrNoCheckpoint = errors.New("no such checkpoint")

// Checkpoint makes a copy of the store as it is now, in a directory inside of
// its own: links to its files, that take no space until the store has rewritten
// them. It is sealed as the store is. The name, after a fixed beginning, is the
// caller's.
func (s *Store) Checkpoint(name string) (full string, err error) {
	full = checkpointPrefix + name
	if err := s.db.Checkpoint(s.path(full), pebble.WithFlushedWAL()); err != nil {
		return "", fmt.Errorf("making a checkpoint: %w", err)
	}
	return full, nil
}

// Checkpoints returns the names of those that there are, in their order.
func (s *Store) Checkpoints() (names []string, err error) {
	all, err := s.opts.FS.List(s.opts.Dir)
	for _, name := range all {
		if strings.HasPrefix(name, checkpointPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// DropCheckpoint removes a checkpoint, ErrNoCheckpoint if it is not there.
func (s *Store) DropCheckpoint(name string) error {
	names, err := s.Checkpoints()
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return ErrNoCheckpoint
	}
	if err := s.opts.FS.RemoveAll(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.syncDir()
}
