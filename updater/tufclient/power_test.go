package tufclient_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"

	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// updating is a world in which 1.1.0 and a new root are there to be had.
func updating(t testing.TB) *world {
	w := newWorld(t)
	w.repo.NextRoot(func() {})
	w.next()
	return w
}

// in has the client live in a directory with these files.
func (w *world) in(dir string, files tuftest.Tree) {
	files.Write(w.t, dir)
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
func TestKilled(t *testing.T) { breakAt(t, updating, tuftest.ErrKilled, tuftest.ErrKilled) }

// TestDiskFull fills the disk at each step.
func TestDiskFull(t *testing.T) { breakAt(t, updating, syscall.ENOSPC, tufclient.ErrSpace) }

// TestKilledByDelta is TestKilled for a delta.
func TestKilledByDelta(t *testing.T) { breakAt(t, byDelta, tuftest.ErrKilled, tuftest.ErrKilled) }

// TestDiskFullByDelta is TestDiskFull for a delta.
func TestDiskFullByDelta(t *testing.T) {
	breakAt(t, byDelta, syscall.ENOSPC, tufclient.ErrSpace)
}

func breakAt(t *testing.T, begun func(testing.TB) *world, err, want error) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		w := begun(t)
		begin := tuftest.ReadTree(t, w.dir)
		for at := 1; ; at++ {
			w.in(t.TempDir(), begin)
			good := w.cfg
			b := tuftest.NewDisk(t, w.dir, at, err)
			w.cfg = w.cfg.On(b)
			got := w.update("1.1.0")
			if b.Steps < at {
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
		b := tuftest.NewDisk(t, w.dir, 0, nil)
		good := w.cfg
		w.cfg = w.cfg.On(b)
		must(t, w.update("1.1.0"))
		b.Cut()
		w.cfg = good
		if len(b.Left) < 20 {
			t.Fatalf("there are only %d ways", len(b.Left))
		}
		for _, left := range b.Left {
			w.in(t.TempDir(), left)
			w.whole(fmt.Sprintf("%d files", len(left)))
		}
		t.Logf("%d ways", len(b.Left))
	})
}
