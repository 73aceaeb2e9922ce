package tufclient_test

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

	"leap.example/updater/tufclient"
)

// A tree is what files there are, by their names below a directory.
type tree map[string]string

func read(t testing.TB, dir string) tree {
	t.Helper()
	all := tree{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	}))
	return all
}

func (all tree) write(t testing.TB, dir string) {
	t.Helper()
	for name, text := range all {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

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

// next is called before each step. It reports whether the step fails.
func (b *broken) next() error {
	b.step++
	if b.at > 0 {
		if b.step >= b.at {
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
	tufclient.File
	b    *broken
	path string
}

func (b *broken) Open(path string, mode fs.FileMode) (tufclient.File, error) {
	if err := b.next(); err != nil {
		return nil, err
	}
	f, err := tufclient.OS.Open(path, mode)
	b.unsynced[b.name(path)] = true
	return brokenFile{f, b, path}, err
}

func (f brokenFile) Write(p []byte) (int, error) {
	f.b.unsynced[f.b.name(f.path)] = true
	if err := f.b.next(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // As a full disk does, too.
		return n, err
	}
	return f.File.Write(p)
}

func (f brokenFile) Truncate(n int64) error {
	if err := f.b.next(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.File.Truncate(n)
}

func (f brokenFile) Sync() error {
	if err := f.b.next(); err != nil {
		return err
	}
	delete(f.b.unsynced, f.b.name(f.path))
	return f.File.Sync()
}

func (b *broken) Rename(from, to string) error {
	if err := b.next(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if b.unsynced[b.name(from)] {
		b.t.Errorf("%s is renamed before it is synced", from)
	}
	return tufclient.OS.Rename(from, to)
}

func (b *broken) Remove(path string) error {
	if err := b.next(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	delete(b.unsynced, b.name(path))
	return tufclient.OS.Remove(path)
}

func (b *broken) SyncDir(path string) error {
	if err := b.next(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	in := func(name string) bool { return filepath.Join(b.dir, filepath.Dir(name)) == path }
	maps.DeleteFunc(b.durable, func(name, _ string) bool { return in(name) })
	for name, text := range b.now(1) {
		if in(name) {
			b.durable[name] = text
		}
	}
	return tufclient.OS.SyncDir(path)
}

// updating is a world in which 1.1.0 and a new root are there to be had.
func updating(t testing.TB) *world {
	w := newWorld(t)
	w.repo.NextRoot(func() {})
	w.next()
	return w
}

// in has the client live in a directory with these files.
func (w *world) in(dir string, files tree) {
	files.write(w.t, dir)
	w.dir, w.cfg.Dir = dir, filepath.Join(dir, "trusted")
	w.view, w.target = nil, nil
}

// whole checks that what is trusted can be read and that what is installed is one
// of the two programs, and then that the update goes well.
func (w *world) whole(when string) {
	w.t.Helper()
	w.view, w.target = nil, nil
	c, err := tufclient.Open(w.cfg)
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	st, err := c.Status()
	if err != nil || st[0].Timestamp < 2 || st[0].Timestamp > 4 {
		w.t.Fatalf("%s: %+v, %v", when, st, err)
	}
	if is := w.kept()[w.installed()]; is != string(content("1.0.0")) && is != string(content("1.1.0")) {
		w.t.Fatalf("%s: what is installed has %d bytes and is neither", when, len(is))
	}
	if err := w.update("1.1.0"); err != nil {
		w.t.Fatalf("%s: again: %v", when, err)
	}
	if w.kept()[w.installed()] != string(content("1.1.0")) {
		w.t.Fatalf("%s: again: 1.1.0 is not installed", when)
	}
}

// byDelta is a world in which 1.1.0 is fetched as a delta.
func byDelta(t testing.TB) *world {
	w := updating(t)
	w.small = true
	w.smaller(good(), good())
	return w
}

// TestKilled kills an update at each step at which it changes the disk.
func TestKilled(t *testing.T) { breakAt(t, updating, errKilled, errKilled) }

// TestDiskFull fills the disk at each step.
func TestDiskFull(t *testing.T) { breakAt(t, updating, syscall.ENOSPC, tufclient.ErrSpace) }

// TestKilledByDelta is TestKilled for a delta.
func TestKilledByDelta(t *testing.T) { breakAt(t, byDelta, errKilled, errKilled) }

// TestDiskFullByDelta is TestDiskFull for a delta.
func TestDiskFullByDelta(t *testing.T) {
	breakAt(t, byDelta, syscall.ENOSPC, tufclient.ErrSpace)
}

func breakAt(t *testing.T, begun func(testing.TB) *world, err, want error) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		w := begun(t)
		begin := read(t, w.dir)
		for at := 1; ; at++ {
			w.in(t.TempDir(), begin)
			good := w.cfg
			b := newBroken(t, w.dir, at, err)
			w.cfg = w.cfg.On(b)
			got := w.update("1.1.0")
			if b.step < at {
				break
			}
			// A full disk keeps nobody from renaming and removing.
			if got != nil && !errors.Is(got, want) || got == nil && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("step %d: %v, want %v", at, got, want)
			}
			if _, err := os.Stat(w.installed() + ".part"); err == nil && errors.Is(got, tufclient.ErrSpace) {
				t.Errorf("step %d: a part stays on a full disk", at)
			}
			w.cfg = good
			w.whole(fmt.Sprintf("step %d", at))
			steps = at
		}
		if steps < 20 {
			t.Errorf("there were only %d steps", steps)
		}
		t.Logf("%d steps", steps)
	})
}

// TestPowerCut cuts the power at each step, in each way.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := updating(t)
		b := newBroken(t, w.dir, 0, nil)
		good := w.cfg
		w.cfg = w.cfg.On(b)
		must(t, w.update("1.1.0"))
		must(t, b.next())
		w.cfg = good
		if len(b.left) < 20 {
			t.Fatalf("there are only %d ways", len(b.left))
		}
		for _, left := range b.left {
			w.in(t.TempDir(), left)
			w.whole(fmt.Sprintf("%d files", len(left)))
		}
		t.Logf("%d ways", len(b.left))
	})
}
