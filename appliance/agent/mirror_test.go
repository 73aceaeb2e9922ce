package agent_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/appliance/update"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

// bundleOf is a bundle of repositories.
func bundleOf(t *testing.T, repos map[string]*tuftest.Repo) []byte {
	t.Helper()
	dir := t.TempDir()
	var trees []tufrepo.BundleTree
	for name, r := range repos {
		m := tufrepo.Mirror{
			Repository: tufclient.Repository{Name: name, Root: r.RootFile(1), Sources: []tufclient.Source{r.Mirror()}},
			Dir:        filepath.Join(dir, name), State: filepath.Join(dir, ".state"), Bare: name == "director",
		}
		c, err := m.Sync(t.Context())
		check(t, err)
		trees = append(trees, tufrepo.BundleTree{Name: name, Dir: m.Dir, Files: c.Files})
	}
	var bundle bytes.Buffer
	check(t, tufrepo.WriteBundle(t.Context(), &bundle, trees, nil))
	return bundle.Bytes()
}

// bring gives the node a bundle, and returns status and body of its answer.
func (w *world) bring(role string, bundle []byte) string {
	w.t.Helper()
	resp, err := w.send(w.operators.operator(w.t, role, time.Now().Add(time.Hour)), http.MethodPut, node.PathMirror, bundle)
	check(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(w.t, err)
	return resp.Status + " " + string(text)
}

// isolated is a document of a node that has only what it is brought.
func (w *world) isolated(d node.Document, vendor, director *tuftest.Repo) (_ node.Document, at netip.AddrPort) {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	at = netip.MustParseAddrPort(ln.Addr().String())
	check(w.t, ln.Close())
	d.Mesh = &node.Mesh{Address: netip.MustParsePrefix("127.0.0.1/8"), Port: 51820}
	d.Updates = &node.Updates{
		Vendor:   node.Repository{Sources: []string{"http://" + at.String() + "/vendor/"}, Root: string(vendor.RootFile(1))},
		Director: node.Repository{Sources: []string{"http://" + at.String() + "/director/"}, Root: string(director.RootFile(1))},
		Mirror:   &node.Mirror{Port: at.Port()}, Poll: node.Duration(time.Second),
	}
	return d, at
}

// TestIsolated has a node without network update itself by a bundle.
func TestIsolated(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0.efi")
	vendor, director := tuftest.New(t, time.Now()), tuftest.New(t, time.Now())
	w.update = &update.Config{Node: "mail1", Version: w.release, Dir: filepath.Join(w.dir, "update")}
	w.start()
	d, _ := w.isolated(w.document(2, map[string]part{"mx": {}}), vendor, director)
	w.good(d, nil)
	publish := func(r *tuftest.Repo) {
		r.AddNode("1.3.0", efitest.UKI("1.3.0", "kernel", "initrd"))
		r.Next("release")
		r.Publish()
	}
	publish(vendor)
	if said := w.bring(node.RoleDeploy, bundleOf(t, map[string]*tuftest.Repo{"vendor": vendor, "director": director})); !strings.HasPrefix(said, "200") {
		t.Fatalf("the bundle: %s", said)
	}
	w.eventually("the director does not allow it", func(s node.Status) bool { return s.Update.State == node.UpdateDisallowed })
	publish(director)
	if said := w.bring(node.RoleDeploy, bundleOf(t, map[string]*tuftest.Repo{"director": director})); !strings.HasPrefix(said, "200") {
		t.Fatalf("the director: %s", said)
	}
	w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() > 0 })
	w.files("leap_1.2.0.efi", "leap_1.3.0+3.efi")
	w.stop()
	w.boots("1.3.0", "leap_1.3.0+3.efi", "leap_1.3.0+2-1.efi")
	w.eventually("it is good", func(s node.Status) bool { return s.Image.State == node.StateGood })
	w.files("leap_1.2.0.efi", "leap_1.3.0.efi")
}

// TestMirrorLooks has a node look for what there is to copy when an operator says so.
func TestMirrorLooks(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0.efi")
	repo := tuftest.New(t, time.Now())
	var mirror atomic.Pointer[tuftest.Mirror]
	mirror.Store(repo.Mirror())
	source := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { mirror.Load().ServeHTTP(rw, r) }))
	t.Cleanup(source.Close)
	w.update = &update.Config{Node: "mail1", Version: w.release, Dir: filepath.Join(w.dir, "update")}
	w.start()
	d, _ := w.isolated(w.document(2, map[string]part{"mx": {}}), repo, repo)
	d.Updates.Poll = node.Duration(time.Hour)
	d.Updates.Mirror.Vendor, d.Updates.Mirror.Director = []string{source.URL + "/repo/"}, []string{source.URL + "/repo/"}
	w.good(d, nil)
	w.eventually("it has copies", func(s node.Status) bool { return len(s.Mirror) == 2 })
	repo.AddNode("1.3.0", efitest.UKI("1.3.0", "kernel", "initrd"))
	repo.Next("release")
	repo.Publish()
	mirror.Store(repo.Mirror())
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathUpdate, nil)
	check(t, err)
	resp.Body.Close()
	w.eventually("the new release is copied", func(s node.Status) bool {
		return slices.ContainsFunc(s.Mirror, func(c node.Copy) bool { return c.Name == "vendor" && slices.Contains(c.Releases, "1.3.0") })
	})
}

// TestMirror brings a bundle to a node without network, through the API.
func TestMirror(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := tuftest.New(t, time.Now())
	bundle := bundleOf(t, map[string]*tuftest.Repo{"director": repo})
	refused := func(name, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	refused("before a document says so", w.bring(node.RoleDeploy, bundle), "400 Bad Request")
	d, at := w.isolated(w.document(1, nil), repo, repo)
	if v, _, err := w.apply(w.bundle(d, nil)); err != nil || v.State != node.StateGood {
		t.Fatalf("the document: %+v, %v", v, err)
	}
	refused("who may only look", w.bring(node.RoleRead, bundle), "403 Forbidden")
	refused("half a bundle", w.bring(node.RoleDeploy, bundle[:len(bundle)/2]), "400 Bad Request")
	w.free.Store(100)
	refused("a full disk", w.bring(node.RoleDeploy, bundle), "429 Too Many Requests")
	w.free.Store(50 << 20)
	said := w.bring(node.RoleDeploy, bundle)
	refused("a good bundle", said, "200 OK")
	var copies []node.Copy
	check(t, json.Unmarshal([]byte(said[len("200 OK "):]), &copies))
	if len(copies) != 1 || copies[0].Name != "director" || copies[0].Expires.IsZero() || copies[0].Error != "" {
		t.Errorf("the node has %+v", copies)
	}
	if s := w.status(); len(s.Mirror) != 1 {
		t.Errorf("the status has %+v", s.Mirror)
	}
	url := "http://" + at.String() + "/director/metadata/timestamp.json"
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("other nodes do not find it: %v, %v", resp, err)
		}
	}
}
