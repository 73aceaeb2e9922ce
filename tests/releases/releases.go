// Package releases has the two repositories that nodes take releases from, the vendor's
// and the provider's director, with keys of its own, and serves them on a lab's LAN.
package releases

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/uki"
	"leap.example/qemu/vnet"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

// A Side is one of the two repositories, and the mirror that the lab serves.
type Side struct {
	Repo   *tuftest.Repo
	mirror atomic.Pointer[tuftest.Mirror]
}

// Repositories are the two sides.
type Repositories struct {
	t                *testing.T
	Vendor, Director *Side
	Runs             string // The release that runs: older ones are not needed.
	Last             []byte // The release that was built last.

	mu     sync.Mutex
	from   map[string]bool // Addresses that have asked for a release.
	forged int             // How often the forger was asked for one.
}

// New makes both, without any release.
func New(t *testing.T) *Repositories {
	t.Helper()
	r := &Repositories{t: t, from: map[string]bool{}, Vendor: &Side{Repo: tuftest.New(t, time.Now())}, Director: &Side{Repo: tuftest.New(t, time.Now())}}
	r.Vendor.Repo.DelegatePlans()
	r.publish()
	return r
}

// at is where the lab serves: the test's process is at this address on every LAN.
var at = netip.MustParseAddrPort("10.77.0.1:8080")

// Source is where a side, "vendor" or "director", is, for nodes. "forged" is where
// somebody serves the vendor's, with other releases than were signed.
func Source(name string) string { return fmt.Sprintf("http://%v/%s/repo/", at, name) }

// Serve serves both sides until the test ends.
func (r *Repositories) Serve(lab *vnet.Host) {
	r.t.Helper()
	ln, err := lab.ListenTCP(at)
	check(r.t, err)
	mux := http.NewServeMux()
	for path, s := range map[string]*Side{"/vendor/": r.Vendor, "/director/": r.Director} {
		mux.HandleFunc(path, func(rw http.ResponseWriter, req *http.Request) {
			if isRelease(req.URL.Path) {
				host, _, _ := net.SplitHostPort(req.RemoteAddr) // It is the server's own.
				r.mu.Lock()
				r.from[host] = true
				r.mu.Unlock()
			}
			s.mirror.Load().ServeHTTP(rw, req)
		})
	}
	mux.HandleFunc("/forged/", func(rw http.ResponseWriter, req *http.Request) {
		rec := httptest.NewRecorder()
		r.Vendor.mirror.Load().ServeHTTP(rec, req)
		body := rec.Body.Bytes()
		if isRelease(req.URL.Path) && len(body) > 0 {
			body[len(body)-1] ^= 1
			r.mu.Lock()
			r.forged++
			r.mu.Unlock()
		}
		maps.Copy(rw.Header(), rec.Header())
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(body) // Who has gone has gone.
	})
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

// isRelease says of a name whether it is that of a release, or of what leads to one.
func isRelease(name string) bool { return strings.HasSuffix(name, ".leap.efi") || isDelta(name) }

func isDelta(name string) bool { return strings.HasSuffix(name, ".bsz") }

// From are the addresses that have asked for releases.
func (r *Repositories) From() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.from))
}

// Forged is how often the forger was asked for a release.
func (r *Repositories) Forged() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forged
}

// publish has the mirrors have what the repositories have, and no release that is
// older than the one that runs.
func (r *Repositories) publish() {
	for _, s := range []*Side{r.Vendor, r.Director} {
		maps.DeleteFunc(s.Repo.Files, func(name string, _ []byte) bool {
			parts := strings.Split(name, "/") // targets/node/ARCH/VERSION/FILE
			return len(parts) == 5 && target.Compare(parts[3], r.Runs) < 0
		})
		for role := range s.Repo.Roles {
			s.Repo.Next(role)
		}
		s.Repo.Publish()
		s.mirror.Store(s.Repo.Mirror())
	}
}

// List has sides list a release.
func (r *Repositories) List(b *uki.Build, version string, sides ...*Side) {
	r.t.Helper()
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: target.Node, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: node.OldestSchema, Newest: node.Schema}, LeastRAM: 256,
	}
	custom, err := d.Encode()
	check(r.t, err)
	for _, s := range sides {
		s.Repo.Add("release", d.Path(), b.UKI, custom)
	}
	r.publish()
}

// Leads has the vendor list a delta from one release to another.
func (r *Repositories) Leads(from, to []byte) {
	r.t.Helper()
	var patch bytes.Buffer
	check(r.t, delta.Build(r.t.Context(), &patch, from, to, nil))
	r.Vendor.Repo.Add("release", target.DeltaPath(sha256.Sum256(from), sha256.Sum256(to)), patch.Bytes(), nil)
	r.t.Logf("                           a delta of %d bytes, %.2f %% of %d", patch.Len(), 100*float64(patch.Len())/float64(len(to)), len(to))
}

// Fetched tells what the node has had of releases since it was asked last.
func (r *Repositories) Fetched() (whole, deltas bool) {
	asked, _ := r.Vendor.mirror.Load().Asked()
	for _, name := range asked {
		whole = whole || isRelease(name) && !isDelta(name)
		deltas = deltas || isDelta(name)
	}
	return whole, deltas
}

// Plan has the vendor publish a plan. Without rollouts nobody takes anything.
func (r *Repositories) Plan(rollouts ...target.Rollout) {
	r.t.Helper()
	text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
	check(r.t, err)
	r.Vendor.Repo.Add("rollout", target.PlanPath, text, nil)
	r.publish()
}

// NoPlan takes the plan away.
func (r *Repositories) NoPlan() {
	delete(r.Vendor.Repo.Roles["rollout"].Signed.Targets, target.PlanPath)
	r.publish()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
