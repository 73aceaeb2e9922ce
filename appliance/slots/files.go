package slots

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"leap.example/appliance/durable"
)

// files is how files are changed, and nothing else changes any. Tests have a disk
// whose power fails.
type files interface {
	create(path string) (file, error) // One that is not there yet.
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error              // Makes the names in it durable.
	keep(path string, content []byte) error // A small file on the writable partition, durable and whole.
	forget(path string) error               // The same, removed.
}

// A file is one that is being written.
type file interface {
	io.WriteCloser
	Sync() error
}

type osFiles struct{}

func (osFiles) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
func (osFiles) rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) remove(path string) error     { return os.Remove(path) }
func (osFiles) syncDir(path string) error    { return durable.SyncDir(path) }
func (osFiles) keep(path string, content []byte) error {
	return durable.WriteFile(path, content, 0o600)
}

func (osFiles) forget(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// files are those of the node.
func (s *Slots) files() files {
	if s.disk != nil {
		return s.disk
	}
	return osFiles{}
}

// remove removes a release.
func (s *Slots) remove(dir string, e Entry) error {
	return errors.Join(s.files().remove(filepath.Join(dir, entries, e.file)), s.files().syncDir(filepath.Join(dir, entries)))
}

// rename gives a file another name, durably.
func (s *Slots) rename(from, to string) error {
	if err := s.files().rename(from, to); err != nil {
		return err
	}
	return errors.Join(s.files().syncDir(filepath.Dir(to)), s.files().syncDir(filepath.Dir(from)))
}
