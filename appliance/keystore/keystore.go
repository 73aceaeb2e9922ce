// Package keystore is where a node keeps its secrets: one file each, of mode
// 0400, in one directory of mode 0700 on the writable partition, which root
// alone opens. Services are given copies of their own in memory.
//
// There is no encryption: the kernel has no means to keep a key from whoever
// can read the disk, and the threat model says so.
package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"leap.example/appliance/durable"
	"leap.example/appliance/node"
)

// maxSecret is the largest secret, in bytes: a chain of certificates and more.
const maxSecret = 1 << 20

// A Store is the secrets under one directory. It may be used at once by several
// goroutines of one process; the agent is the only one.
type Store struct {
	dir    string
	making sync.Mutex // Held while a key is made.
}

// Open returns the store at dir, making the directory if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, os.Chmod(dir, 0o700) // Whatever it was before.
}

// path returns the file of a secret.
func (s *Store) path(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q is no name of a secret", name)
	}
	return filepath.Join(s.dir, name), nil
}

// Get returns a secret. If it is missing, the error is [fs.ErrNotExist].
func (s *Store) Get(name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Put keeps a secret, in place of what had its name. It is durable when Put
// returns.
func (s *Store) Put(name string, value []byte) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if len(value) > maxSecret {
		return fmt.Errorf("secret %q has %d bytes, more than %d", name, len(value), maxSecret)
	}
	return durable.WriteFile(path, value, 0o400)
}

// Ensure returns a secret, and makes it if it is missing: a key that never
// leaves the node. All who ask for it get the same.
func (s *Store) Ensure(name string, generate func() ([]byte, error)) ([]byte, error) {
	s.making.Lock()
	defer s.making.Unlock()
	value, err := s.Get(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return value, err
	}
	if value, err = generate(); err != nil {
		return nil, err
	}
	return value, s.Put(name, value)
}

// Digests returns what documents call the secrets that are here, by their
// names.
func (s *Store) Digests() (map[string]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // What a crash left.
		}
		value, err := s.Get(e.Name())
		if err != nil {
			return nil, err
		}
		all[e.Name()] = node.SecretDigest(value)
	}
	return all, nil
}

// Retain removes all secrets but those that keep says. The caller makes sure
// that no document that may be applied again names them.
func (s *Store) Retain(keep func(name string) bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !keep(e.Name()) {
			errs = append(errs, os.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(append(errs, durable.SyncDir(s.dir))...)
}
