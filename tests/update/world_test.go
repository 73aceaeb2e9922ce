package update

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
	"leap.example/tests/releases"
)

// A world is a node and the two sides.
type world struct {
	*firmware.Rig
	*releases.Repositories

	t       *testing.T
	watch   time.Duration // How long services have to stay healthy.
	sources []string      // Of the vendor's side.
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Rig: firmware.New(t), Repositories: releases.New(t), t: t, watch: time.Second, sources: []string{releases.Source("vendor")}}
	w.Serve(w.Self)
	return w
}

// deploy has the node look every few seconds, and judge releases within so long.
func (w *world) deploy(ready time.Duration, windows ...node.Window) {
	w.t.Helper()
	w.Operator.Deploy(w.t, ready, time.Second, func(d *node.Document) {
		d.Gate.Watch = node.Duration(w.watch)
		d.Updates = &node.Updates{
			Vendor:   node.Repository{Sources: w.sources, Root: string(w.Vendor.Repo.RootFile(1))},
			Director: node.Repository{Sources: []string{releases.Source("director")}, Root: string(w.Director.Repo.RootFile(1))},
			Poll:     node.Duration(2 * time.Second), Windows: windows,
		}
	})
}

// release builds a release of the node's program, and has both sides list it.
func (w *world) release(version string, change func(*uki.Options)) {
	w.t.Helper()
	b := firmware.Build(w.t, version, firmware.Leapd(w.t), change)
	w.List(b, version, w.Vendor, w.Director)
	w.Last = b.UKI
}

// good waits until a release runs and is good, and the node looks for others.
func (w *world) good(version string) {
	w.t.Helper()
	w.Runs = version
	w.Status(w.t, firmware.Runs(version))
}

// says waits until the node says that of updates, of a release, and why, and runs what
// it ran.
func (w *world) says(state, release, reason string) {
	w.t.Helper()
	s := w.Status(w.t, func(s node.Status) error {
		if s.Update == nil || s.Update.State != state || s.Update.Release != release || !strings.Contains(s.Update.Reason, reason) {
			return fmt.Errorf("it says %+v", s.Update)
		}
		return nil
	})
	if s.Release != w.Runs || s.Image.State != node.StateGood {
		w.t.Errorf("it runs %s: %+v", s.Release, s.Image)
	}
	w.t.Logf("                           %s: %s", s.Update.State, strings.ReplaceAll(s.Update.Reason, "\n", "; "))
}
