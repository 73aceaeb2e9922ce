package update

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
	"leap.example/tests/releases"
	"leap.example/updater/target"
)

// ready is for what is to be good in the end, soon for what is not.
const (
	ready = 5 * time.Minute
	soon  = 15 * time.Second
)

// TestUpdates is the story of a node: a good release, a bad one, and a power cut. Each step begins where the one before ended.
func TestUpdates(t *testing.T) {
	w := newWorld(t)
	w.Step(t, "a node is made and told where releases are", func() {
		first := firmware.Build(t, "1.0.0", firmware.Leapd(t), nil)
		w.Last = first.UKI
		w.Flash(t, first)
		w.On(t)
		w.good("1.0.0")
		w.deploy(ready)
		w.says(node.UpdateNothing, "", "")
	})
	w.Step(t, "good: 1.0.0 to 1.1.0 by a delta", func() {
		b := firmware.Build(t, "1.1.0", firmware.Leapd(t), nil)
		w.Leads(w.Last, b.UKI)
		w.List(b, "1.1.0", w.Vendor, w.Director)
		w.good("1.1.0")
		w.says(node.UpdateNothing, "", "")
		if whole, deltas := w.Fetched(); whole || !deltas {
			t.Errorf("it has fetched the whole: %v, a delta: %v", whole, deltas)
		}
	})
	w.Step(t, "never healthy: 1.2.0 is back at 1.1.0, and not tried again", func() {
		w.deploy(soon)
		w.release("1.2.0", func(o *uki.Options) { firmware.Without(o, "dns") })
		w.says(node.UpdateBad, "1.2.0", "not healthy within 15s: dns: does not run")
		w.Says(t, "starting, release 1.2.0", "starting, release 1.1.0")
	})
	w.Step(t, "by the full file, and the power cut while arming: at 1.3.0 in the end", func() {
		w.deploy(ready)
		w.release("1.3.0", nil)
		w.cutAt(func(s node.Status) bool { return s.Update != nil && s.Update.State == node.UpdateArming })
		w.good("1.3.0")
		w.says(node.UpdateNothing, "", "")
	})
}

// newLong is a world of a test that takes long, whose node runs 1.3.0.
func newLong(t *testing.T) *world {
	t.Helper()
	if !*long {
		t.Skip("all cases take more than an hour: with -long only")
	}
	w := newWorld(t)
	w.Step(t, "a node is made and told where releases are", func() {
		w.Flash(t, firmware.Build(t, "1.3.0", firmware.Leapd(t), nil))
		w.On(t)
		w.good("1.3.0")
		w.deploy(ready)
		w.says(node.UpdateNothing, "", "")
	})
	return w
}

// TestRefused has releases be refused, halted, and not boot.
func TestRefused(t *testing.T) {
	w := newLong(t)
	w.Step(t, "provider only: 1.4.0 is refused", func() {
		w.List(firmware.Build(t, "1.4.0", firmware.Leapd(t), nil), "1.4.0", w.Director)
		w.says(node.UpdateUnvouched, "", "the vendor does not vouch for")
	})
	w.Step(t, "vendor only: 1.5.0 is refused", func() {
		w.List(firmware.Build(t, "1.5.0", firmware.Leapd(t), nil), "1.5.0", w.Vendor)
		w.says(node.UpdateDisallowed, "", "vendor lists node/amd64/1.5.0/leap.efi")
	})
	w.Step(t, "halt: 1.6.0 is downloaded, waits for its window, and is halted there", func() {
		hour := time.Now().UTC().Add(time.Hour).Truncate(time.Hour).Add(time.Hour)
		w.deploy(ready, node.Window{From: hour.Format("15:04"), For: node.Duration(time.Hour)})
		w.release("1.6.0", nil)
		r := target.Rollout{Release: "1.6.0", Begins: time.Now().Add(-time.Hour).UTC(), Waves: []target.Wave{{Percent: 100}}}
		w.Plan(r)
		w.says(node.UpdateWindow, "1.6.0", "it is downloaded")
		r.Halt = true
		w.Plan(r)
		w.says(node.UpdateHeld, "", "halted")
		w.deploy(ready) // Its window is open now.
		w.says(node.UpdateHeld, "", "halted")
		r.Halt = false
		w.Plan(r)
		w.good("1.6.0")
		w.NoPlan()
	})
	w.Step(t, "the first source is not there, the second forges: 1.6.1 comes from the third", func() {
		w.sources = []string{"http://10.77.0.1:8079/repo/", releases.Source("forged"), releases.Source("vendor")}
		w.deploy(ready)
		w.release("1.6.1", nil)
		w.good("1.6.1")
		w.says(node.UpdateNothing, "", "")
		if w.Forged() == 0 {
			t.Error("the forger was not asked for it")
		}
	})
	w.Step(t, "does not boot: 1.7.0 panics three times, and is back at 1.6.1", func() {
		w.List(firmware.Build(t, "1.7.0", firmware.Panics(t), nil), "1.7.0", w.Vendor, w.Director)
		w.says(node.UpdateBad, "1.7.0", "started 3 times")
	})
}

// TestLate has a release panic when its services are healthy, and watched.
func TestLate(t *testing.T) {
	w := newLong(t)
	w.Step(t, "panics while it is watched: 1.8.0 starts three times, and is back at 1.3.0", func() {
		w.watch = 4 * time.Minute
		w.deploy(ready)
		w.late("1.8.0")
		for range 3 {
			w.Says(t, "starting, release 1.8.0", "sysrq triggered crash")
		}
		w.says(node.UpdateBad, "1.8.0", "started 3 times")
	})
}

// aims are what a node does when the power is taken first, before chance takes it.
var aims = []string{node.UpdateDownload, node.UpdateArming, node.UpdateTrial}

// TestCuts takes the power twenty times, at any time of an update.
func TestCuts(t *testing.T) {
	w := newLong(t)
	w.Step(t, "twenty power cuts", func() {
		for k := range 20 {
			version := fmt.Sprintf("1.9.%d", k)
			w.release(version, nil)
			if k < len(aims) {
				w.cutAt(func(s node.Status) bool { return s.Update != nil && s.Update.State == aims[k] })
				t.Logf("                           %s: cut while %s", version, aims[k])
			} else {
				wait := time.Duration(rand.Int64N(int64(cutsFor)))
				time.Sleep(wait)
				t.Logf("                           %s: cut after %.1f s, %s", version, wait.Seconds(), w.does())
				w.Machine.Cut(t)
				w.On(t)
			}
			w.good(version)
		}
	})
}

// does is what the node does just now.
func (w *world) does() string {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	s, err := w.Operator.Client().Status(ctx)
	if err != nil || s.Update == nil {
		return "it starts"
	}
	return s.Release + ", " + s.Update.State
}

// cutsFor is how long an update takes from its publication into its trial.
const cutsFor = 50 * time.Second

// cutAt takes the power when the node says that.
func (w *world) cutAt(when func(node.Status) bool) {
	w.t.Helper()
	w.Status(w.t, func(s node.Status) error {
		if !when(s) {
			return fmt.Errorf("not yet: %+v", s.Update)
		}
		return nil
	})
	w.Machine.Cut(w.t)
	w.On(w.t)
}

// late has both sides list a release that panics late.
func (w *world) late(version string) {
	w.t.Helper()
	stub := filepath.Join(w.t.TempDir(), "late")
	check(w.t, uki.Compile(w.t.Context(), "../..", "./tests/update/late", stub))
	text, err := os.ReadFile(stub)
	check(w.t, err)
	program, err := os.ReadFile(firmware.Leapd(w.t))
	check(w.t, err)
	both := binary.BigEndian.AppendUint64(append(text, program...), uint64(len(program)))
	check(w.t, os.WriteFile(stub, both, 0o700))
	w.List(firmware.Build(w.t, version, stub, nil), version, w.Vendor, w.Director)
}
