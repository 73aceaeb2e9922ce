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
	"leap.example/qemu/vnet"
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

// repositories are the two sides, which the lab serves.
type repositories struct {
	t                *testing.T
	vendor, director *side
	runs             string // The release that runs: older ones are not needed.
	last             []byte // The release that was built last.
}

func newRepositories(t *testing.T) *repositories {
	t.Helper()
	r := &repositories{t: t, vendor: &side{repo: tuftest.New(t, time.Now())}, director: &side{repo: tuftest.New(t, time.Now())}}
	r.vendor.repo.Delegate("targets", metadata.DelegatedRole{Name: "rollout", Threshold: 1, Terminating: true, Paths: []string{target.PlanPath}}, tuftest.NewKey(t))
	r.publish()
	return r
}

// at is where the lab serves.
var at = netip.MustParseAddrPort(net.JoinHostPort(firmware.LabIP, "8080"))

// source is where a side is, for nodes.
func source(name string) string { return fmt.Sprintf("http://%v/%s/repo/", at, name) }

// serve serves both sides until the test ends.
func (r *repositories) serve(lab *vnet.Host) {
	r.t.Helper()
	ln, err := lab.ListenTCP(at)
	check(r.t, err)
	mux := http.NewServeMux()
	for path, s := range map[string]*side{"/vendor/": r.vendor, "/director/": r.director} {
		mux.HandleFunc(path, func(rw http.ResponseWriter, req *http.Request) { s.mirror.Load().ServeHTTP(rw, req) })
	}
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	r.t.Cleanup(func() {
		check(r.t, hs.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			r.t.Error(err)
		}
	})
}

// publish has the mirrors have what the repositories have, and no release that is
// older than the one that runs.
func (r *repositories) publish() {
	for _, s := range []*side{r.vendor, r.director} {
		maps.DeleteFunc(s.repo.Files, func(name string, _ []byte) bool {
			parts := strings.Split(name, "/") // targets/node/ARCH/VERSION/FILE
			return len(parts) == 5 && target.Compare(parts[3], r.runs) < 0
		})
		for role := range s.repo.Roles {
			s.repo.Next(role)
		}
		s.repo.Publish()
		s.mirror.Store(s.repo.Mirror())
	}
}

// list has sides list a release.
func (r *repositories) list(b *uki.Build, version string, sides ...*side) {
	r.t.Helper()
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: target.Node, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: node.OldestSchema, Newest: node.Schema}, LeastRAM: 256,
	}
	custom, err := d.Encode()
	check(r.t, err)
	for _, s := range sides {
		s.repo.Add("release", d.Path(), b.UKI, custom)
	}
	r.publish()
}

// release builds a release of the node's program, and has both sides list it.
func (r *repositories) release(version string, change func(*uki.Options)) {
	r.t.Helper()
	b := firmware.Build(r.t, version, firmware.Leapd(r.t), change)
	r.list(b, version, r.vendor, r.director)
	r.last = b.UKI
}

// leads has the vendor list a delta from one release to another.
func (r *repositories) leads(from, to []byte) {
	r.t.Helper()
	var patch bytes.Buffer
	check(r.t, delta.Build(r.t.Context(), &patch, from, to, nil))
	r.vendor.repo.Add("release", target.DeltaPath(sha256.Sum256(from), sha256.Sum256(to)), patch.Bytes(), nil)
	r.t.Logf("                           a delta of %d bytes, %.2f %% of %d", patch.Len(), 100*float64(patch.Len())/float64(len(to)), len(to))
}

// fetched tells what the node has had of releases since it was asked last.
func (r *repositories) fetched() (whole, deltas bool) {
	asked, _ := r.vendor.mirror.Load().Asked()
	for _, name := range asked {
		whole = whole || strings.HasSuffix(name, ".leap.efi")
		deltas = deltas || strings.HasSuffix(name, ".bsz")
	}
	return whole, deltas
}

// plan has the vendor publish a plan. Without rollouts nobody takes anything.
func (r *repositories) plan(rollouts ...target.Rollout) {
	r.t.Helper()
	text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
	check(r.t, err)
	r.vendor.repo.Add("rollout", target.PlanPath, text, nil)
	r.publish()
}

// noPlan takes the plan away.
func (r *repositories) noPlan() {
	delete(r.vendor.repo.Roles["rollout"].Signed.Targets, target.PlanPath)
	r.publish()
}

// A world is a node and the two sides.
type world struct {
	*firmware.Rig
	*repositories

	watch time.Duration // How long services have to stay healthy.
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Rig: firmware.New(t), repositories: newRepositories(t), watch: time.Second}
	w.serve(w.Self)
	return w
}

// deploy has the node look every few seconds, and judge releases within so long.
func (w *world) deploy(ready time.Duration, windows ...node.Window) {
	w.t.Helper()
	w.Operator.Deploy(w.t, ready, time.Second, func(d *node.Document) {
		d.Gate.Watch = node.Duration(w.watch)
		d.Updates = &node.Updates{
			Vendor:   node.Repository{Sources: []string{source("vendor")}, Root: string(w.vendor.repo.RootFile(1))},
			Director: node.Repository{Sources: []string{source("director")}, Root: string(w.director.repo.RootFile(1))},
			Poll:     node.Duration(2 * time.Second), Windows: windows,
		}
	})
}

// good waits until a release runs and is good, and the node looks for others.
func (w *world) good(version string) {
	w.t.Helper()
	w.runs = version
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
	if s.Release != w.runs || s.Image.State != node.StateGood {
		w.t.Errorf("it runs %s: %+v", s.Release, s.Image)
	}
	w.t.Logf("                           %s: %s", s.Update.State, strings.ReplaceAll(s.Update.Reason, "\n", "; "))
}
