package tufclient_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// planned is a world with a plan, by which it is the turn of 1.1.0.
func planned(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.repo.DelegatePlans()
	w.next()
	w.plan(false)
	return w
}

// offered checks, and finds the release whose turn it is.
func (w *world) offered() {
	w.t.Helper()
	must(w.t, w.check())
	if o, err := w.offer(); err != nil || o.Target.Description.Version != "1.1.0" {
		w.t.Errorf("%+v, %v", o, err)
	}
}

// TestPlanNoNews: whoever has seen the plan does not fetch it again, with one
// repository, as clients have, and with two, as nodes have.
func TestPlanNoNews(t *testing.T) {
	for _, repositories := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := planned(t)
			mirrors := []*tuftest.Mirror{w.mirror}
			if repositories == 2 {
				director := tuftest.New(t, time.Now())
				add(t, director, release("1.1.0"))
				director.Next("release")
				director.Publish()
				mirrors = append(mirrors, director.Mirror())
				w.cfg.Repositories = append(w.cfg.Repositories, tufclient.Repository{Name: "director", Root: director.RootFile(1), Sources: []tufclient.Source{mirrors[1]}})
			}
			w.offered()
			for _, m := range mirrors {
				m.Asked()
			}
			before := w.kept()
			w.offered()
			for _, m := range mirrors {
				if asked, _ := m.Asked(); !slices.Equal(asked, []string{"metadata/2.root.json", "metadata/timestamp.json"}) {
					t.Errorf("of %d: %v were asked for", repositories, asked)
				}
			}
			for name, text := range w.kept() {
				if before[name] != text {
					t.Errorf("%s has changed", name)
				}
			}
		})
	}
}

// TestPlanKept: a plan that is kept counts only if it is the one that is listed.
func TestPlanKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := planned(t)
		w.offered()
		path := filepath.Join(w.cfg.Dir, "vendor.plan")
		good, err := os.ReadFile(path)
		must(t, err)
		for name, damage := range map[string][]byte{
			"empty": {}, "half": good[:len(good)/2], "longer": append(bytes.Clone(good), ' '), "another": bytes.ToUpper(good),
		} {
			must(t, os.WriteFile(path, damage, 0o600))
			w.mirror.Asked()
			w.offered()
			if asked, _ := w.mirror.Asked(); len(asked) != 3 {
				t.Errorf("%s: %v were asked for", name, asked)
			}
			if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, good) {
				t.Errorf("%s: it was not mended: %v", name, err)
			}
		}
		w.plan(true)
		must(t, w.check())
		if o, err := w.offer(); !errors.Is(err, target.ErrHeld) {
			t.Errorf("halted: %+v, %v", o, err)
		}
	})
}

// TestPlanCut: the disk is full, the process killed or the power cut at any step of
// keeping a plan: the next check has the one that is listed, and the old one or the
// new one is kept, or what counts as none.
func TestPlanCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := planned(t)
		w.offered()
		w.plan(true)
		must(t, w.check()) // Its metadata are kept.
		dir := w.cfg.Dir
		before := tuftest.ReadTree(t, dir)
		halted := func() {
			t.Helper()
			must(t, w.check())
			if o, err := w.offer(); !errors.Is(err, target.ErrHeld) {
				t.Errorf("halted: %+v, %v", o, err)
			}
		}
		whole := tuftest.NewDisk(t, dir, 0, nil)
		clean := w.cfg
		w.cfg = clean.On(whole)
		halted()
		w.cfg = clean
		for _, left := range whole.Left {
			must(t, os.RemoveAll(dir))
			left.Write(t, dir)
			halted()
		}
		for _, err := range []error{syscall.ENOSPC, tuftest.ErrKilled} {
			for at := 1; at <= whole.Steps; at++ {
				must(t, os.RemoveAll(dir))
				before.Write(t, dir)
				w.cfg = clean.On(tuftest.NewDisk(t, dir, at, err))
				must(t, w.check())
				_, got := w.offer()
				if full := errors.Is(got, target.ErrHeld) && errors.Is(err, syscall.ENOSPC); !full && !errors.Is(got, err) { // It keeps nobody from renaming.
					t.Errorf("step %d: %v", at, got)
				}
				w.cfg = clean
				halted()
			}
		}
	})
}
