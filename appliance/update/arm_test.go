package update_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/target"
)

// releases are the names on a machine's boot partition.
func (m *machine) releases() (all []string) {
	m.w.t.Helper()
	list, err := os.ReadDir(filepath.Join(m.dir, "esp/EFI/Linux"))
	must(m.w.t, err)
	for _, f := range list {
		all = append(all, f.Name())
	}
	return all
}

// TestStuck has a machine not restart into a release that is armed. Then the release
// is taken back, others have the turn, and everything is asked anew: a halt, and the
// time at which the node may restart.
func TestStuck(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		r := target.Rollout{Release: "1.1.0", Begins: time.Now(), Waves: []target.Wave{{Percent: 100}}}
		w.plan(r)
		m.stuck = errors.New("the supervisor does not answer")
		apart := func(state, says string) {
			t.Helper()
			if off, _ := m.look(); off {
				t.Fatal("it restarts")
			}
			if s := m.is("1.0.0", state); !strings.Contains(s.Reason, says) {
				t.Errorf("it says %s", s.Reason)
			}
			if got := m.releases(); !slices.Equal(got, []string{"leap_1.0.0.efi"}) {
				t.Errorf("there are %v", got)
			}
			w.turn("", "")
		}
		apart(node.UpdateFailed, "the supervisor does not answer")
		m.stuck, r.Halt = nil, true
		w.plan(r)
		apart(node.UpdateHeld, "")
		r.Halt = false
		w.plan(r)
		m.doc.Updates.Windows = []node.Window{{From: "03:00", For: node.Duration(time.Hour)}} // It is midnight.
		apart(node.UpdateWindow, "")
		time.Sleep(3*time.Hour + time.Minute)
		w.mirrors["vendor"].Asked()
		m.lives("1.1.0", node.UpdateNothing)
		asked, _ := w.mirrors["vendor"].Asked()
		if slices.ContainsFunc(asked, func(name string) bool { return strings.HasSuffix(name, "leap.efi") }) {
			t.Error("it is downloaded again")
		}
		w.turn("", "")
	})
}

// TestEndsWithIt has the restart end the process before it hears that there will be one.
// The release stays armed.
func TestEndsWithIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		ctx, end := context.WithCancel(t.Context())
		m.cut = func(where string) {
			if where == "before restarting" {
				end()
			}
		}
		m.stuck = context.Canceled
		m.u.Look(ctx)
		if got := m.releases(); len(got) != 2 {
			t.Errorf("there are %v", got)
		}
		w.turn("restarting", "n1")
		m.cut, m.stuck = func(string) {}, nil
		m.start()
		m.lives("1.1.0", node.UpdateNothing)
		if !slices.Equal(m.starts, []string{"1.0.0", "1.1.0"}) {
			t.Errorf("it started as %v", m.starts)
		}
	})
}

// TestArmedLeft has the process end between arming and restarting, and the window
// close: the release is taken back.
func TestArmedLeft(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		m.cut = func(where string) {
			if where == "before restarting" {
				panic(errOff)
			}
		}
		m.look()
		if got := m.releases(); !slices.Equal(got, []string{"leap_1.0.0.efi", "leap_1.1.0+3.efi"}) {
			t.Fatalf("there are %v", got)
		}
		m.cut = func(string) {}
		m.doc.Updates.Windows = []node.Window{{From: "03:00", For: node.Duration(time.Hour)}}
		m.look()
		m.is("1.0.0", node.UpdateWindow)
		w.turn("", "")
		if got := m.releases(); !slices.Equal(got, []string{"leap_1.0.0.efi"}) {
			t.Errorf("there are %v", got)
		}
	})
}

// TestArmedStarted has the boot loader have tried a release that did not even come up:
// its starts are not given back, and a halt counts for the next one, too.
func TestArmedStarted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		r := target.Rollout{Release: "1.1.0", Begins: time.Now(), Waves: []target.Wave{{Percent: 100}}}
		w.plan(r)
		if off, _ := m.look(); !off {
			t.Fatal("it does not restart")
		}
		dir := filepath.Join(m.dir, "esp/EFI/Linux")
		tried := []string{"leap_1.0.0.efi", "leap_1.1.0+2-1.efi"}
		must(t, os.Rename(filepath.Join(dir, "leap_1.1.0+3.efi"), filepath.Join(dir, tried[1])))
		r.Halt = true
		w.plan(r)
		if off, _ := m.look(); off {
			t.Fatal("it restarts")
		}
		m.is("1.0.0", node.UpdateHeld)
		w.turn("", "")
		r.Halt = false
		w.plan(r)
		if off, _ := m.look(); !off {
			t.Fatalf("it does not restart: %+v", m.u.Status())
		}
		if got := m.releases(); !slices.Equal(got, tried) {
			t.Errorf("there are %v", got)
		}
		w.turn("restarting", "n1")
	})
}
