package slots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/updater/target"
)

// Write puts a release on the ESP, to be tried at the next start: it is durable
// and checked when Write returns. within is how long it may then take to be
// found good. What was there before stays, but for what a broken call left and
// for bad and surplus good releases, if room is needed. A release of that version
// that is there already is replaced. One that was found bad is refused with
// [ErrBad], one that would not be started after the running one with [ErrOlder].
func (s *Slots) Write(ctx context.Context, t Target, within time.Duration, content io.Reader) error {
	if err := target.CheckVersion(t.Version); err != nil {
		return err
	}
	if target.Compare(t.Version, s.Running) <= 0 {
		return fmt.Errorf("%w: %s after %s", ErrOlder, t.Version, s.Running)
	}
	if err := s.allowed(t.Version); err != nil && !(t.Again && errors.Is(err, ErrBad)) {
		return err
	}
	if t.Size <= 0 || t.Size > maxRelease {
		return fmt.Errorf("%w: %d bytes", ErrContent, t.Size)
	}
	return s.ESP(ctx, func(dir string) error {
		path := filepath.Join(dir, temporary)
		if err := s.files().remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.makeRoom(dir, t); err != nil {
			return err
		}
		err := s.write(ctx, path, t, content)
		if err == nil {
			err = s.check(path, t)
		}
		if err != nil {
			return errors.Join(err, s.files().remove(path))
		}
		if err := s.record(trialFile, trial{t.Version, node.Duration(within)}); err != nil {
			return errors.Join(err, s.files().remove(path))
		}
		e := Entry{Version: t.Version, Counted: true, Left: tries}
		if err := s.rename(path, filepath.Join(dir, entries, e.name())); err != nil {
			return err
		}
		return s.forgive(t.Version) // Not before: it would be forgotten by a power cut.
	})
}

// Disarm removes a release that was written to be tried: what starts the machine from
// now on starts another one. One that was started before stays, with [ErrStarted], and
// the number of its starts. There is nothing to do if it is not there.
func (s *Slots) Disarm(ctx context.Context, version string) error {
	return s.ESP(ctx, func(dir string) error {
		all, err := list(dir)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Version != version || e.State() != Trial {
				continue
			}
			if e.Done > 0 || version == s.Running {
				return ErrStarted
			}
			if err := s.remove(dir, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// makeRoom removes what may go until a release fits: bad ones and an earlier
// copy of it, then good ones that are neither running nor the newest other one.
func (s *Slots) makeRoom(dir string, t Target) error {
	all, err := list(dir)
	if err != nil {
		return err
	}
	good := 0
	for _, e := range all {
		surplus := false
		switch {
		case e.Version == s.Running:
			good++
			continue
		case e.State() == Good:
			good++
			surplus = good > keepGood
		}
		fits, err := room(dir, t.Size)
		if err != nil {
			return err
		}
		if e.Version == t.Version || (!fits && (surplus || e.State() == Bad)) {
			if err := s.remove(dir, e); err != nil {
				return err
			}
		}
	}
	fits, err := room(dir, t.Size)
	if err == nil && !fits {
		err = fmt.Errorf("%w for %d MiB", ErrSpace, t.Size>>20)
	}
	return err
}

// room reports whether a file of that size fits, with its directory.
func room(dir string, size int64) (bool, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return int64(st.Bavail)*st.Bsize >= size+1<<20, err
}

// write writes the temporary file.
func (s *Slots) write(ctx context.Context, path string, t Target, content io.Reader) error {
	f, err := s.files().create(path)
	if err != nil {
		return err
	}
	// One byte more would show that it is longer than it should be.
	n, err := io.Copy(f, io.LimitReader(reader{ctx, content}, t.Size+1))
	if err == nil && n != t.Size {
		err = fmt.Errorf("%w: it has %d bytes or more, not %d", ErrContent, n, t.Size)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// reader stops reading when ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// check reads back what is on the disk and sees whether the firmware will take
// it.
func (s *Slots) check(path string, t Target) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	forget(f)
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != t.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrContent, got, t.SHA256)
	}
	u, err := efi.OpenUKI(f, t.Size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	if u.Version != t.Version {
		return fmt.Errorf("%w: it says that it is release %s, not %s", ErrContent, u.Version, t.Version)
	}
	if s.Certificate == nil {
		return nil
	}
	if err := u.Verify(s.Certificate); err != nil {
		return fmt.Errorf("%w: the firmware would refuse it: %w", ErrContent, err)
	}
	return nil
}

// forget has the kernel forget what it holds of a file in memory, so that what
// is read next comes from the disk. It is advice: an error changes nothing.
func forget(f *os.File) {
	const dontNeed = 4 // POSIX_FADV_DONTNEED.
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0)
}
