package update

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/appliance/node"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

// A side is one of the two repositories, and the mirror that the lab serves.
type side struct {
	repo   *tuftest.Repo
	mirror atomic.Pointer[tuftest.Mirror]
}

// A world is a node and the two sides.
type world struct {
	*firmware.Rig

	t                *testing.T
	vendor, director *side
	runs             string        // The release that should run.
	last             []byte        // The release that was built last.
	watch            time.Duration // How long services have to stay healthy.
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	w := &world{Rig: firmware.New(t, *artefacts), t: t, watch: time.Second, vendor: &side{repo: tuftest.New(t, time.Now())}, director: &side{repo: tuftest.New(t, time.Now())}}
	w.vendor.repo.Delegate("targets", metadata.DelegatedRole{Name: "rollout", Threshold: 1, Terminating: true, Paths: []string{target.PlanPath}}, tuftest.NewKey(t))
	w.publish()
	ln, err := w.Self.ListenTCP(netip.MustParseAddrPort(net.JoinHostPort(firmware.LabIP, "80")))
	check(t, err)
	mux := http.NewServeMux()
	for path, s := range map[string]*side{"/vendor/": w.vendor, "/director/": w.director} {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) { s.mirror.Load().ServeHTTP(rw, r) })
	}
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	t.Cleanup(func() {
		check(t, hs.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return w
}

// publish has the mirrors have what the repositories have, and no release that is
// older than the one that runs.
func (w *world) publish() {
	for _, s := range []*side{w.vendor, w.director} {
		maps.DeleteFunc(s.repo.Files, func(name string, _ []byte) bool {
			parts := strings.Split(name, "/") // targets/node/ARCH/VERSION/FILE
			return len(parts) == 5 && target.Compare(parts[3], w.runs) < 0
		})
		for role := range s.repo.Roles {
			s.repo.Next(role)
		}
		s.repo.Publish()
		s.mirror.Store(s.repo.Mirror())
	}
}

// list has sides list a release.
func (w *world) list(b *uki.Build, version string, sides ...*side) {
	w.t.Helper()
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: target.Node, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: node.OldestSchema, Newest: node.Schema}, LeastRAM: 256,
	}
	custom, err := d.Encode()
	check(w.t, err)
	for _, s := range sides {
		s.repo.Add("release", d.Path(), b.UKI, custom)
	}
	w.publish()
}

// release builds a release of the node's program, and has both sides list it.
func (w *world) release(version string, change func(*uki.Options)) {
	w.t.Helper()
	b := firmware.Build(w.t, version, firmware.Leapd(w.t), change)
	w.list(b, version, w.vendor, w.director)
	w.last = b.UKI
}

// leads has the vendor list a delta from one release to another.
func (w *world) leads(from, to []byte) {
	w.t.Helper()
	var patch bytes.Buffer
	check(w.t, delta.Build(w.t.Context(), &patch, from, to, nil))
	w.vendor.repo.Add("release", target.DeltaPath(sha256.Sum256(from), sha256.Sum256(to)), patch.Bytes(), nil)
	w.t.Logf("                           a delta of %d bytes, %.2f %% of %d", patch.Len(), 100*float64(patch.Len())/float64(len(to)), len(to))
}

// fetched tells what the node has had of releases since it was asked last.
func (w *world) fetched() (whole, deltas bool) {
	asked, _ := w.vendor.mirror.Load().Asked()
	for _, name := range asked {
		whole = whole || strings.HasSuffix(name, ".leap.efi")
		deltas = deltas || strings.HasSuffix(name, ".bsz")
	}
	return whole, deltas
}

// plan has the vendor publish a plan. Without rollouts nobody takes anything.
func (w *world) plan(rollouts ...target.Rollout) {
	w.t.Helper()
	text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
	check(w.t, err)
	w.vendor.repo.Add("rollout", target.PlanPath, text, nil)
	w.publish()
}

// noPlan takes the plan away.
func (w *world) noPlan() {
	delete(w.vendor.repo.Roles["rollout"].Signed.Targets, target.PlanPath)
	w.publish()
}

// deploy has the node look every few seconds, and judge releases within so long.
func (w *world) deploy(ready time.Duration, windows ...node.Window) {
	w.t.Helper()
	w.Operator.Deploy(w.t, ready, time.Second, func(d *node.Document) {
		d.Gate.Watch = node.Duration(w.watch)
		source := func(name string) []string { return []string{"http://" + firmware.LabIP + "/" + name + "/repo/"} }
		d.Updates = &node.Updates{
			Vendor:   node.Repository{Sources: source("vendor"), Root: string(w.vendor.repo.RootFile(1))},
			Director: node.Repository{Sources: source("director"), Root: string(w.director.repo.RootFile(1))},
			Poll:     node.Duration(2 * time.Second), Windows: windows,
		}
	})
}

// good waits until a release runs and is good, and the node looks for others.
func (w *world) good(version string) {
	w.t.Helper()
	w.runs = version
	w.Status(w.t, func(s node.Status) error {
		switch {
		case s.Release != version || s.Image.State != node.StateGood || len(s.Image.Kept) == 0:
			return fmt.Errorf("it runs %s: %+v, %+v", s.Release, s.Image, s.Update)
		case s.Current.Number > 0 && !s.Services["dns"].Healthy:
			return fmt.Errorf("its service: %+v", s.Services["dns"])
		}
		return nil
	})
}

// says waits until the node says that of updates, and why, and runs what it ran.
func (w *world) says(state, reason string) {
	w.t.Helper()
	s := w.Status(w.t, func(s node.Status) error {
		if s.Update == nil || s.Update.State != state || !strings.Contains(s.Update.Reason, reason) {
			return fmt.Errorf("it says %+v", s.Update)
		}
		return nil
	})
	if s.Release != w.runs || s.Image.State != node.StateGood {
		w.t.Errorf("it runs %s: %+v", s.Release, s.Image)
	}
	w.t.Logf("                           %s: %s", s.Update.State, strings.ReplaceAll(s.Update.Reason, "\n", "; "))
}
