package sealed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// temporary begins the name of a file that is to take the place of another.
// Pebble does not know the form and leaves it alone.
const temporary = "resealing."

// lock is the file that Pebble locks a store by. It is empty, and to close it
// would release the lock.
const lock = "LOCK"

// each calls f for every file below dir, also in directories below, with what
// its header says: an id, nil if it is empty, or the error of reading it. A
// directory that does not exist has no files.
func each(base vfs.FS, dir string, f func(name string, id *KeyID, err error) error) error {
	names, err := base.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if n == lock {
			continue
		}
		name := base.PathJoin(dir, n)
		info, err := base.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // It went away while we looked.
		case err != nil:
			return err
		case info.IsDir():
			err = each(base, name, f)
		case !strings.HasPrefix(n, temporary):
			var id *KeyID
			if id, err = idOf(base, name); !errors.Is(err, fs.ErrNotExist) {
				err = f(name, id, err)
			} else {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// idOf returns the id of the key of a file, nil if the file is empty.
func idOf(base vfs.FS, name string) (*KeyID, error) {
	f, err := base.Open(name)
	if err != nil {
		return nil, err
	}
	var b [headerSize + 1]byte
	n, err := f.ReadAt(b[:], 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil || torn(b[:n]) {
		return nil, err
	}
	h, err := parseHeader(b[:n])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &h.id, nil
}

// Check reports whether every file below dir can be read: ErrPlain, ErrKey or
// ErrDamaged if not. To be called before a store there is opened.
func (s *FS) Check(dir string) error {
	return each(s.base, dir, func(name string, id *KeyID, err error) error {
		if errors.Is(err, ErrPlain) {
			return fmt.Errorf("%w: to seal it now, stop the node and run: leapd couch seal", err)
		}
		if err != nil || id == nil {
			return err
		}
		f, err := s.Open(name)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// CheckPlain returns ErrKey if a file below dir is sealed. To be called before
// a store is opened without keys.
func CheckPlain(base vfs.FS, dir string) error {
	return each(base, dir, func(name string, id *KeyID, err error) error {
		if errors.Is(err, ErrPlain) {
			return nil
		}
		if err != nil || id == nil {
			return err
		}
		return fmt.Errorf("%w: %s is sealed under the key %v: add the file of that key to key_files", ErrKey, name, id)
	})
}

// InUse returns how many files below dir are sealed under which key.
func (s *FS) InUse(dir string) (map[KeyID]int, error) {
	count := map[KeyID]int{}
	err := each(s.base, dir, func(_ string, id *KeyID, err error) error {
		if err == nil && id != nil {
			count[*id]++
		}
		return err
	})
	return count, err
}

// Reseal rewrites every file below dir that is sealed under an old key, one at
// a time, and returns how many there were. The store may be open: Pebble only
// ever writes to files that it has created since it was opened, which are
// under the current key. What ctx interrupts is taken up by the next call.
func (s *FS) Reseal(ctx context.Context, dir string) (int, error) {
	return s.rewrite(ctx, dir, func(name string, id *KeyID, err error) (vfs.File, error) {
		if err != nil || id == nil || *id == s.keys.current.id {
			return nil, err
		}
		return s.Open(name, vfs.SequentialReadsOption)
	})
}

// Seal seals every file below dir that lies there in the clear, and rewrites
// those under an old key; it returns how many there were. It fails if the store
// is open. What is interrupted leaves a store that does not open until Seal was
// called again. What it replaces is deleted, not wiped.
func (s *FS) Seal(ctx context.Context, dir string) (n int, err error) {
	if _, err := s.base.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil // A store that is yet to be made.
	}
	l, err := s.base.Lock(s.base.PathJoin(dir, lock))
	if err != nil {
		return 0, fmt.Errorf("locking the store, which must be closed: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return s.rewrite(ctx, dir, func(name string, id *KeyID, err error) (vfs.File, error) {
		if errors.Is(err, ErrPlain) {
			return s.base.Open(name, vfs.SequentialReadsOption)
		}
		if err != nil || id == nil || *id == s.keys.current.id {
			return nil, err
		}
		return s.Open(name, vfs.SequentialReadsOption)
	})
}

// rewrite puts a file under the current key in the place of each that open
// opens.
func (s *FS) rewrite(ctx context.Context, dir string, open func(string, *KeyID, error) (vfs.File, error)) (n int, err error) {
	if err := s.tidy(dir); err != nil {
		return 0, err
	}
	err = each(s.base, dir, func(name string, id *KeyID, err error) error {
		src, err := open(name, id, err)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || src == nil {
			return err
		}
		if err := s.replace(ctx, name, src); err != nil {
			return fmt.Errorf("sealing %s: %w", name, err)
		}
		n++
		return nil
	})
	return n, err
}

// replace puts what src holds in the place of name, durably and at once.
func (s *FS) replace(ctx context.Context, name string, src vfs.File) error {
	dir, err := s.OpenDir(s.PathDir(name))
	if err != nil {
		return closing(src, err)
	}
	temp := s.PathJoin(s.PathDir(name), temporary+s.PathBase(name))
	dst, err := s.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return errors.Join(err, src.Close(), dir.Close())
	}
	_, err = io.Copy(dst, stopping{ctx, src})
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close(), src.Close()); err == nil {
		err = s.putInPlace(temp, name)
	}
	if err == nil {
		err = dir.Sync()
	} else if removed := s.Remove(temp); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return errors.Join(err, dir.Close())
}

// putInPlace renames a file over another, unless that one has gone.
func (s *FS) putInPlace(temp, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.base.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return s.base.Remove(temp)
	}
	return s.base.Rename(temp, name)
}

// tidy removes what an interrupted rewrite has left.
func (s *FS) tidy(dir string) error {
	names, err := s.base.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		name := s.base.PathJoin(dir, n)
		if strings.HasPrefix(n, temporary) {
			err = errors.Join(err, s.Remove(name))
		} else if info, e := s.base.Stat(name); e == nil && info.IsDir() {
			err = errors.Join(err, s.tidy(name))
		}
	}
	return err
}

// stopping reads until ctx is done.
type stopping struct {
	ctx context.Context
	vfs.File
}

func (r stopping) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.File.Read(p)
}
