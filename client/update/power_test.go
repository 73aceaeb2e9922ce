package update_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"

	"leap.example/client/update"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

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
func TestKilled(t *testing.T) { breakAt(t, tuftest.ErrKilled, tuftest.ErrKilled, false) }

// TestDiskFull fills the disk at each step.
func TestDiskFull(t *testing.T) { breakAt(t, syscall.ENOSPC, tufclient.ErrSpace, false) }

// TestKilledGoingBack kills an update that goes back at each step.
func TestKilledGoingBack(t *testing.T) { breakAt(t, tuftest.ErrKilled, tuftest.ErrKilled, true) }

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
		begin := tuftest.ReadTree(t, string(w.cfg.Prefix))
		steps := 0
		for at := 1; ; at++ {
			w.in(filepath.Join(t.TempDir(), "leap"))
			begin.Write(t, string(w.cfg.Prefix))
			must(t, w.daemon.Restart(t.Context()))
			good := w.cfg
			b := tuftest.NewDisk(t, string(w.cfg.Prefix), at, fails)
			w.cfg = w.cfg.On(b)
			_, err := w.apply()
			w.cfg = good
			if b.Steps < at {
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
		b := tuftest.NewDisk(t, string(w.cfg.Prefix), 0, nil)
		good := w.cfg
		w.cfg = w.cfg.On(b)
		_, err := w.apply()
		must(t, err)
		b.Cut()
		w.cfg = good
		if len(b.Left) < 20 {
			t.Fatalf("there are only %d ways", len(b.Left))
		}
		for _, left := range b.Left {
			w.in(filepath.Join(t.TempDir(), "leap"))
			left.Write(t, string(w.cfg.Prefix))
			when := fmt.Sprintf("%d files", len(left))
			w.whole(when, true, string(content("1.0.0")), string(content("1.1.0")))
			w.again(when)
		}
		t.Logf("%d ways", len(b.Left))
	})
}
