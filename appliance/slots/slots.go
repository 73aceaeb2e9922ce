package slots

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"leap.example/updater/target"
)

// keepGood is how many good releases stay on the ESP.
const keepGood = 2

// maxRelease is the largest release, in bytes: three of them fit.
const maxRelease = 128 << 20

// An ESP gives access to the EFI system partition: it mounts it, calls f with
// the directory where it is, flushes and unmounts it again, in every case.
type ESP func(ctx context.Context, f func(dir string) error) error

// Slots are the releases of a node. Its methods are called by one goroutine at
// a time; other processes are kept away by ESP.
type Slots struct {
	ESP ESP
	// Dir is where is kept, on the writable partition, what is known of releases.
	// Empty: that partition cannot be used, and nothing is kept.
	Dir string
	// Certificate is what the firmware checks signatures with. Nil: Secure Boot
	// is not used, and nothing is checked but the hash.
	Certificate *x509.Certificate
	// Running is the version that runs: it is never removed.
	Running string

	disk files // Nil: that of the node.
}

// A Target is a release that is to be written.
type Target struct {
	Version string
	Size    int64  // Bytes.
	SHA256  string // Hex.
	Again   bool   // Also if it was found bad before: that is forgotten once it is there.
}

// ErrStarted is that a release was started already that is to be tried.
var ErrStarted = errors.New("the release was started already")

// Errors of [Slots.Write], wrapped.
var (
	ErrSpace   = errors.New("there is no room on the ESP")
	ErrContent = errors.New("this is not the release that it should be")
	ErrOlder   = errors.New("the boot loader starts the newest release, and this is none")
)

const (
	entries   = "EFI/Linux"
	temporary = "leap.new" // In the ESP's root.
)

// List returns the releases that there are, newest first.
func (s *Slots) List(ctx context.Context) (all []Entry, err error) {
	err = s.ESP(ctx, func(dir string) error {
		all, err = list(dir)
		return err
	})
	return all, err
}

func list(dir string) ([]Entry, error) {
	files, err := os.ReadDir(filepath.Join(dir, entries))
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, f := range files {
		if e, ok := parseName(f.Name()); ok && f.Type().IsRegular() {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(target.Compare(b.Version, a.Version), cmp.Compare(a.file, b.file)) })
	return all, nil
}

// Bless makes the running release good, whatever was said of it before. It does
// nothing if it is.
func (s *Slots) Bless(ctx context.Context) error {
	err := s.change(ctx, s.Running, func(e Entry) Entry { return Entry{Version: e.Version} })
	if err != nil {
		return err
	}
	return s.forgive(s.Running)
}

// Condemn makes the running release bad and keeps the reason: it is not started
// again as long as there is another one. If it is the only good one or the only
// one, it is left alone, with [ErrOnly].
func (s *Slots) Condemn(ctx context.Context, reason string) error {
	err := s.change(ctx, s.Running, func(e Entry) Entry {
		return Entry{Version: e.Version, Counted: true, Done: max(e.Done, 1)}
	})
	if err != nil {
		return err
	}
	return s.remember(s.Running, reason)
}

// ErrOnly is that a release cannot be given up, since there is no other one.
var ErrOnly = errors.New("there is no other release to fall back to")

// change renames a release as f says.
func (s *Slots) change(ctx context.Context, version string, f func(Entry) Entry) error {
	return s.ESP(ctx, func(dir string) error {
		all, err := list(dir)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(e Entry) bool { return e.Version == version })
		if i < 0 {
			return fmt.Errorf("release %s: %w", version, fs.ErrNotExist)
		}
		to := f(all[i])
		if to.State() == Bad && !slices.ContainsFunc(all, func(e Entry) bool { return e.Version != version && e.State() == Good }) {
			return ErrOnly
		}
		if to.name() == all[i].file {
			return nil
		}
		return s.rename(filepath.Join(dir, entries, all[i].file), filepath.Join(dir, entries, to.name()))
	})
}

// Settle tidies up once the running release is good. What the boot loader has
// given up meanwhile is recorded, so that it is not tried again, and then
// removed; of good releases the running one stays and the newest two, of which
// it is one. It is never called together with [Slots.Bless]: what was made good
// has to be on the disk first.
func (s *Slots) Settle(ctx context.Context) error {
	return s.ESP(ctx, func(dir string) error {
		if err := s.files().remove(filepath.Join(dir, temporary)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		all, err := list(dir)
		if err != nil {
			return err
		}
		good := 0
		for _, e := range all {
			if e.State() == Good {
				good++
			}
			if e.Version == s.Running || (e.State() == Good && good <= keepGood) || e.State() == Trial {
				continue
			}
			if e.State() == Bad {
				if err := s.remember(e.Version, fmt.Sprintf("started %d times, it neither got healthy nor said why: it panicked or hung, or its power was cut", e.Done)); err != nil {
					return err
				}
			}
			if err := s.remove(dir, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Old gives f the file of the release that runs, and how long it is, while the ESP is
// mounted.
func (s *Slots) Old(ctx context.Context, f func(content io.ReaderAt, size int64) error) error {
	return s.ESP(ctx, func(dir string) error {
		all, err := list(dir)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(e Entry) bool { return e.Version == s.Running })
		if i < 0 {
			return fmt.Errorf("release %s: %w", s.Running, fs.ErrNotExist)
		}
		file, err := os.Open(filepath.Join(dir, entries, all[i].file))
		if err != nil {
			return err
		}
		defer file.Close() // Only read.
		info, err := file.Stat()
		if err != nil {
			return err
		}
		return f(file, info.Size())
	})
}
