package update_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"leap.example/client/update"
	"leap.example/updater/tufclient"
)

// A broken is a disk that, from the step of a number on, is full, or is that of a
// process that was killed: nothing happens any longer, and what was done stays.
// One that never fails keeps, before each step, what a cut of the power leaves: of
// a name that was changed the old or the new one or both, of content that was not
// synced anything from nothing to all.
type broken struct {
	t        testing.TB
	dir      string
	step, at int // It fails at this one; 0: never.
	err      error
	durable  tree
	unsynced map[string]bool
	left     map[string]tree
}

var errKilled = errors.New("the process was killed")

func newBroken(t testing.TB, dir string, at int, err error) *broken {
	return &broken{t: t, dir: dir, at: at, err: err, durable: read(t, dir), unsynced: map[string]bool{}, left: map[string]tree{}}
}

func (b *broken) name(path string) string { return strings.TrimPrefix(path, b.dir+"/") }

func (b *broken) now(share int) tree {
	all := read(b.t, b.dir)
	for name := range b.unsynced {
		all[name] = all[name][:len(all[name])*share/2]
	}
	return all
}

// next is called before each step. It reports whether the step fails; a full disk
// keeps nobody from what needs no room.
func (b *broken) next(needsRoom bool) error {
	b.step++
	if b.at > 0 {
		if b.step >= b.at && (needsRoom || !errors.Is(b.err, syscall.ENOSPC)) {
			return b.err
		}
		return nil
	}
	for share := range 3 {
		now := b.now(share)
		both := maps.Clone(now)
		maps.Copy(both, b.durable)
		for _, left := range []tree{b.durable, now, both} {
			b.left[fmt.Sprint(left)] = maps.Clone(left)
		}
	}
	return nil
}

type brokenFile struct {
	update.File
	b    *broken
	path string
}

func (b *broken) Open(path string, mode fs.FileMode) (update.File, error) {
	if err := b.next(true); err != nil {
		return nil, err
	}
	f, err := update.OS.Open(path, mode)
	b.unsynced[b.name(path)] = true
	return brokenFile{f, b, path}, err
}

func (f brokenFile) Write(p []byte) (int, error) {
	f.b.unsynced[f.b.name(f.path)] = true
	if err := f.b.next(true); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // As a full disk does, too.
		return n, err
	}
	return f.File.Write(p)
}

func (f brokenFile) Truncate(n int64) error {
	if err := f.b.next(false); err != nil {
		return err
	}
	return f.File.Truncate(n)
}

func (f brokenFile) Chmod(mode fs.FileMode) error {
	if err := f.b.next(false); err != nil {
		return err
	}
	return f.File.Chmod(mode)
}

func (f brokenFile) Sync() error {
	if err := f.b.next(true); err != nil {
		return err
	}
	delete(f.b.unsynced, f.b.name(f.path))
	return nil // The machine stays up.
}

func (b *broken) Mkdir(path string) error {
	if err := b.next(true); err != nil {
		return err
	}
	return update.OS.Mkdir(path)
}

func (b *broken) Symlink(to, path string) error {
	if err := b.next(true); err != nil {
		return err
	}
	return update.OS.Symlink(to, path)
}

func (b *broken) Rename(from, to string) error {
	if err := b.next(false); err != nil {
		return err
	}
	if b.unsynced[b.name(from)] {
		b.t.Errorf("%s is renamed before it is synced", from)
	}
	return update.OS.Rename(from, to)
}

func (b *broken) Remove(path string) error {
	if err := b.next(false); err != nil {
		return err
	}
	delete(b.unsynced, b.name(path))
	return update.OS.Remove(path)
}

func (b *broken) SyncDir(path string) error {
	if err := b.next(false); err != nil {
		return err
	}
	in := func(name string) bool { return filepath.Join(b.dir, filepath.Dir(name)) == path }
	maps.DeleteFunc(b.durable, func(name, _ string) bool { return in(name) })
	for name, text := range b.now(1) {
		if in(name) {
			b.durable[name] = text
		}
	}
	return nil
}

// whole checks that what is current is one of the programs, whole; that a daemon
// which starts with it, whatever ran before, settles what is on trial; and that
// the update then goes well.
func (w *world) whole(when string, restarted bool, programs ...string) {
	w.t.Helper()
	text, err := os.ReadFile(w.cfg.Prefix.Start())
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	found := false
	for _, p := range programs {
		found = found || string(text) == p
	}
	if !found {
		w.t.Fatalf("%s: what is current has %d bytes and is neither: %.20q", when, len(text), text)
	}
	if restarted || w.daemon.runs == "" {
		must(w.t, w.daemon.Restart(w.t.Context()))
	}
	if err := w.open().Settle(w.t.Context()); err != nil && !errors.As(err, new(*update.BackError)) {
		w.t.Fatalf("%s: settling: %v", when, err)
	}
	if s := w.state(); s.Trial != nil {
		w.t.Fatalf("%s: %+v is not settled", when, s.Trial)
	}
}

// again expects that the update goes well, if it did not before.
func (w *world) again(when string) {
	w.t.Helper()
	if _, err := w.apply(); err != nil && !errors.Is(err, tufclient.ErrNothing) {
		w.t.Fatalf("%s: again: %v", when, err)
	}
	w.runs("1.1.0")
	if all, err := w.cfg.Prefix.Versions(); err != nil || len(all) > 2 {
		w.t.Fatalf("%s: %v are kept, %v", when, all, err)
	}
}

// TestKilled kills an update at each step at which it changes the disk.
func TestKilled(t *testing.T) { breakAt(t, errKilled, errKilled, false) }

// TestDiskFull fills the disk at each step.
func TestDiskFull(t *testing.T) { breakAt(t, syscall.ENOSPC, tufclient.ErrSpace, false) }

// TestKilledGoingBack kills an update that goes back at each step.
func TestKilledGoingBack(t *testing.T) { breakAt(t, errKilled, errKilled, true) }

// TestDiskFullGoingBack fills the disk of one that goes back.
func TestDiskFullGoingBack(t *testing.T) { breakAt(t, syscall.ENOSPC, tufclient.ErrSpace, true) }

func breakAt(t *testing.T, fails, want error, mute bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		text := content("1.1.0")
		if mute {
			text = append(text, "mute"...)
		}
		w.add(release("1.1.0"), text)
		begin := read(t, string(w.cfg.Prefix))
		steps := 0
		for at := 1; ; at++ {
			w.in(filepath.Join(t.TempDir(), "leap"))
			begin.write(t, string(w.cfg.Prefix))
			must(t, w.daemon.Restart(t.Context()))
			good := w.cfg
			b := newBroken(t, string(w.cfg.Prefix), at, fails)
			w.cfg = w.cfg.On(b)
			_, err := w.apply()
			w.cfg = good
			if b.step < at {
				break
			}
			back := errors.As(err, new(*update.BackError))
			if err != nil && !errors.Is(err, want) && !back || err == nil && !errors.Is(fails, syscall.ENOSPC) && !w.done() {
				t.Errorf("step %d: %v, want %v", at, err, want)
			}
			when := fmt.Sprintf("step %d", at)
			w.whole(when, false, string(content("1.0.0")), string(text))
			if mute {
				if v, err := w.daemon.Version(t.Context()); err == nil && v != "1.0.0" {
					t.Errorf("%s: %s runs", when, v)
				}
			} else {
				w.again(when)
			}
			steps = at
		}
		if steps < 20 {
			t.Errorf("there were only %d steps", steps)
		}
		t.Logf("%d steps", steps)
	})
}

// done reports whether nothing but old versions is left to be tidied up.
func (w *world) done() bool {
	s, err := update.ReadState(w.cfg.Prefix.Dir())
	current, err2 := w.cfg.Prefix.Current()
	return err == nil && err2 == nil && s.Trial == nil && current == "1.1.0"
}

// TestPowerCut cuts the power at each step, in each way.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(release("1.1.0"), content("1.1.0"))
		b := newBroken(t, string(w.cfg.Prefix), 0, nil)
		good := w.cfg
		w.cfg = w.cfg.On(b)
		_, err := w.apply()
		must(t, err)
		must(t, b.next(false))
		w.cfg = good
		if len(b.left) < 20 {
			t.Fatalf("there are only %d ways", len(b.left))
		}
		for _, left := range b.left {
			w.in(filepath.Join(t.TempDir(), "leap"))
			left.write(t, string(w.cfg.Prefix))
			when := fmt.Sprintf("%d files", len(left))
			w.whole(when, true, string(content("1.0.0")), string(content("1.1.0")))
			w.again(when)
		}
		t.Logf("%d ways", len(b.left))
	})
}
