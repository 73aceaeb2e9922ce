package slots

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"leap.example/appliance/durable"
	"leap.example/appliance/efi"
)

// keepGood is how many good releases stay on the ESP.
const keepGood = 2

// maxRelease is the largest release, in bytes: three of them fit.
const maxRelease = 128 << 20

// An ESP gives access to the EFI system partition: it mounts it, calls f with
// the directory where it is, flushes and unmounts it again, in every case.
type ESP func(ctx context.Context, f func(dir string) error) error

// Slots are the releases of a node. Its methods are called by one goroutine at
// a time, of one process.
type Slots struct {
	ESP ESP
	// Certificate is what the firmware checks signatures with. Nil: Secure Boot
	// is not used, and nothing is checked but the hash.
	Certificate *x509.Certificate
	// Running is the version that runs: it is never removed.
	Running string
}

// A Target is a release that is to be written.
type Target struct {
	Version string
	Size    int64  // Bytes.
	SHA256  string // Hex.
}

// Errors of [Slots.Write], wrapped.
var (
	ErrSpace   = errors.New("there is no room on the ESP")
	ErrContent = errors.New("this is not the release that it should be")
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
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(efi.Compare(b.Version, a.Version), cmp.Compare(a.file, b.file)) })
	return all, nil
}

// Bless makes the running release good. It does nothing if it is.
func (s *Slots) Bless(ctx context.Context) error {
	return s.change(ctx, s.Running, func(e Entry) Entry { return Entry{Version: e.Version} })
}

// Condemn makes a release bad: it is not started again as long as there is
// another one. A release that is the only one is left alone, with an error.
func (s *Slots) Condemn(ctx context.Context, version string) error {
	return s.change(ctx, version, func(e Entry) Entry {
		return Entry{Version: e.Version, Counted: true, Done: max(e.Done, 1)}
	})
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
		if to.name() == all[i].file {
			return nil
		}
		if to.State() == Bad && !slices.ContainsFunc(all, func(e Entry) bool { return e.Version != version && e.State() == Good }) {
			return ErrOnly
		}
		return rename(filepath.Join(dir, entries, all[i].file), filepath.Join(dir, entries, to.name()))
	})
}

// Prune removes bad releases, and good ones but for the newest two and the
// running one. It returns the versions that were bad, for the record: they are
// not to be tried again. It is never called together with Bless: what was made
// good has to be on the disk first.
func (s *Slots) Prune(ctx context.Context) (bad []string, err error) {
	err = s.ESP(ctx, func(dir string) error {
		all, err := list(dir)
		if err != nil {
			return err
		}
		good := 0
		for _, e := range all {
			if e.State() == Good {
				good++
			}
			if e.Version == s.Running || (e.State() != Bad && good <= keepGood) || e.State() == Trial {
				continue
			}
			if err := remove(dir, e); err != nil {
				return err
			}
			if e.State() == Bad {
				bad = append(bad, e.Version)
			}
		}
		return nil
	})
	return bad, err
}

func remove(dir string, e Entry) error {
	return errors.Join(os.Remove(filepath.Join(dir, entries, e.file)), durable.SyncDir(filepath.Join(dir, entries)))
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(to)), durable.SyncDir(filepath.Dir(from)))
}
