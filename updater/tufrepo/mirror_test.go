package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// image is the content of a release of nodes.
func image(version string) []byte { return bytes.Repeat([]byte(version+"\n"), 40_000) }

func describe(variant target.Variant, version string) target.Description {
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: variant, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
	if variant == target.Client {
		d.OS = "linux"
	} else {
		d.Documents = target.Range{Oldest: 1, Newest: 1}
	}
	return d
}

// machine is a node that runs 1.0.0.
var machine = target.Machine{Variant: target.Node, Name: "db1", Arch: "amd64", Version: "1.0.0", State: 1}

// A provider has a vendor, and a director of its own.
type provider struct {
	t        *testing.T
	vendor   *tuftest.Repo
	served   *tuftest.Mirror // Of the vendor.
	director *Repo
	keys     map[string]*KeyFile
	now      time.Time
	urls     map[string]string // Of both, on loopback.
	events   int
}

func newProvider(t *testing.T, releases ...string) *provider {
	t.Helper()
	p := &provider{t: t, vendor: tuftest.New(t, begin), keys: signers(t, "alice", "online"), now: begin, urls: map[string]string{}}
	dir := filepath.Join(t.TempDir(), "director")
	policy := Policy{Name: "demo.example", Director: true, Roles: DirectorRoles()}
	for i := range policy.Roles {
		r := &policy.Roles[i]
		r.Keys = []*PublicKey{p.keys["alice"].public}
		if online(r.Role) {
			r.Keys = []*PublicKey{p.keys["online"].public}
		}
	}
	e, err := Init(dir, policy, begin)
	p.ok(err)
	p.director, err = Open(dir)
	p.ok(err)
	p.publish(e)
	p.served = &tuftest.Mirror{Name: "vendor"}
	p.release(releases...)
	p.urls["vendor"] = p.serve(p.served) + "/repo/"
	p.urls["director"] = p.serve(http.FileServer(http.Dir(p.director.Public()))) + "/"
	return p
}

func (p *provider) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *provider) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	p.t.Cleanup(s.Close)
	return s.URL
}

// release has the vendor publish releases of nodes and of clients.
func (p *provider) release(versions ...string) {
	for _, v := range versions {
		for _, variant := range []target.Variant{target.Node, target.Client} {
			d := describe(variant, v)
			text, err := d.Encode()
			p.ok(err)
			p.vendor.Add("release", d.Path(), image(v), text)
			p.vendor.Add("release", filepath.Dir(d.Path())+"/manifest.json", []byte(v), nil)
		}
	}
	p.vendor.Next("release")
	p.vendor.Publish()
	p.served.Files = maps.Clone(p.vendor.Files)
}

func (p *provider) publish(e *Event) {
	p.t.Helper()
	signAll(p.t, e, p.keys)
	p.ok(p.director.Publish(p.t.Context(), e.Name, p.keys["online"], p.now, nil))
}

// allow has the director list a release.
func (p *provider) allow(version string, content []byte, permission target.Permission) {
	p.t.Helper()
	d := describe(target.Node, version)
	text, err := d.Permitted(permission)
	p.ok(err)
	f := tuftest.Listing(content)
	p.events++
	e, err := p.director.Direct(fmt.Sprintf("e%d", p.events), "why", []Listing{{Path: d.Path(), Length: int64(len(content)), Hashes: map[string][]byte{"sha256": f[0], "sha512": f[1]}, Custom: text}}, nil, p.now)
	p.ok(err)
	p.publish(e)
}

func (p *provider) root(name string) []byte {
	p.t.Helper()
	if name == "vendor" {
		return p.vendor.RootFile(1)
	}
	text, err := os.ReadFile(filepath.Join(p.director.Public(), "metadata", "1.root.json"))
	p.ok(err)
	return text
}

func (p *provider) repository(name string, sources ...tufclient.Source) tufclient.Repository {
	p.t.Helper()
	if len(sources) == 0 {
		src, err := tufclient.NewHTTP(p.urls[name], nil)
		p.ok(err)
		p.t.Cleanup(src.Close)
		sources = []tufclient.Source{src}
	}
	return tufclient.Repository{Name: name, Root: p.root(name), Sources: sources}
}

// node is what a node finds that asks both repositories.
func (p *provider) node(state string, vendor, director tufclient.Repository) (*tufclient.Offer, []byte, error) {
	p.t.Helper()
	c, err := tufclient.Open(tufclient.Config{Repositories: []tufclient.Repository{vendor, director}, Dir: state, Clock: func() time.Time { return p.now }})
	p.ok(err)
	v, err := c.Check(p.t.Context())
	if err != nil {
		return nil, nil, err
	}
	o, err := v.Offer(p.t.Context(), machine, func(string) int { return 0 })
	if err != nil {
		return nil, nil, err
	}
	data, err := c.Read(p.t.Context(), o.Target, 1<<20)
	return o, data, err
}

// mirror is one of a repository below dir.
func (p *provider) mirror(dir, name string, sources ...tufclient.Source) Mirror {
	return Mirror{
		Repository: p.repository(name, sources...), Dir: filepath.Join(dir, name), State: filepath.Join(dir, ".state"), Bare: name == "director",
		Keep: 2, Clock: func() time.Time { return p.now }, Limits: tufclient.Limits{Window: 2 * time.Second},
		Want: func(d target.Description) bool { return d.Variant == target.Node },
	}
}

// TestDirector has a node take what both list, and nothing else.
func TestDirector(t *testing.T) {
	p := newProvider(t, "1.0.0", "1.1.0", "1.2.0", "1.3.0")
	look := func(name, version string, wants ...error) {
		t.Helper()
		o, data, err := p.node(t.TempDir(), p.repository("vendor"), p.repository("director"))
		for _, want := range wants {
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", name, err, want)
			}
		}
		if len(wants) == 0 && (err != nil || o.Target.Description.Version != version || !bytes.Equal(data, image(version))) {
			t.Errorf("%s: got %v, %v, want %s", name, o, err, version)
		}
	}
	look("signed by the vendor only", "", tufclient.ErrNothing, tufclient.ErrDisagreement, tufclient.ErrUnlisted)
	p.allow("1.1.0", image("1.1.0"), target.Permission{})
	look("signed by both", "1.1.0")
	p.allow("1.2.0", []byte("another image"), target.Permission{})
	look("another hash, and an older one that is right", "1.1.0")
	p.allow("1.1.0", []byte("another image"), target.Permission{})
	look("another hash", "", tufclient.ErrNothing, tufclient.ErrDisagreement)
	p.allow("9.9.9", []byte("the provider's own"), target.Permission{})
	look("signed by the provider only", "", tufclient.ErrNothing)
	c, err := tufclient.Open(tufclient.Config{Repositories: []tufclient.Repository{p.repository("vendor"), p.repository("director")}, Dir: t.TempDir(), Clock: func() time.Time { return p.now }})
	p.ok(err)
	v, err := c.Check(t.Context())
	p.ok(err)
	if _, err := v.Lookup(t.Context(), describe(target.Node, "9.9.9").Path()); !errors.Is(err, tufclient.ErrDisagreement) || !strings.Contains(err.Error(), "repository vendor: no signer lists") {
		t.Errorf("signed by the provider only: %v", err)
	}
	later := begin.Add(time.Hour)
	p.allow("1.3.0", image("1.3.0"), target.Permission{From: later, Nodes: []string{"db1"}})
	if o, _, err := p.node(t.TempDir(), p.repository("vendor"), p.repository("director")); err != nil || !o.Due.Equal(later) {
		t.Errorf("from later on: %+v, %v", o, err)
	}
	p.allow("1.3.0", image("1.3.0"), target.Permission{Nodes: []string{"web1"}})
	look("for other nodes", "", tufclient.ErrNothing, target.ErrHeld)
	p.now = begin.Add(8 * 24 * time.Hour)
	look("the director has expired", "", tufclient.ErrExpired)
	if _, _, err := p.node(t.TempDir(), p.repository("vendor"), p.repository("director")); err == nil || !strings.Contains(err.Error(), "repository director") {
		t.Errorf("who has expired: %v", err)
	}
	p.ok(p.director.Timestamp(t.Context(), p.keys["online"], p.now))
	p.allow("1.3.0", image("1.3.0"), target.Permission{})
	look("after the daily job", "1.3.0")
	// Nobody but a director has one signer for bytes, and it brings none.
	policy := Policy{Name: "demo.example", Roles: DirectorRoles()}
	for i := range policy.Roles {
		policy.Roles[i].Keys = []*PublicKey{p.keys["alice"].public}
	}
	if err := policy.Check(); !errors.Is(err, ErrPolicy) {
		t.Errorf("one signer of a vendor: %v", err)
	}
	if _, err := p.director.Change(t.Context(), "bytes", "why", []Addition{{Path: "node/amd64/1/leap.efi"}}, nil, p.now, nil); err == nil {
		t.Error("a director takes bytes")
	}
	if list, err := p.director.Listings(); err != nil || len(list) != 4 {
		t.Errorf("it lists %v, %v", list, err)
	}
}

// TestMirror copies both, and has a node update itself from the copy alone, over
// loopback.
func TestMirror(t *testing.T) {
	p := newProvider(t, "1.0.0", "1.1.0", "1.2.0")
	p.vendor.NextRoot(func() {})
	p.vendor.NextRoot(func() {})
	p.served.Files = maps.Clone(p.vendor.Files)
	p.allow("1.2.0", image("1.2.0"), target.Permission{})
	dir := t.TempDir()
	versions := func(c *Copied) (list []string) {
		for _, d := range c.Releases {
			list = append(list, string(d.Variant)+" "+d.Version)
		}
		return list
	}
	var last []string
	sync := func(name string) *Copied {
		t.Helper()
		c, err := p.mirror(dir, name).Sync(t.Context())
		p.ok(err)
		last = c.Files
		return c
	}
	if c := sync("vendor"); !slices.Equal(versions(c), []string{"node 1.1.0", "node 1.2.0"}) || !c.Expires.Equal(p.vendor.Timestamp.Signed.Expires) {
		t.Errorf("copied: %+v", c)
	}
	if first, at := last[0], slices.Index(last, "metadata/1.root.json"); !strings.HasPrefix(first, "targets/") || last[len(last)-1] != "metadata/timestamp.json" || at < 0 || last[at+2] != "metadata/3.root.json" {
		t.Errorf("published in the order %v", last)
	}
	sync("director")
	p.served.Asked()
	sync("vendor")
	if asked, _ := p.served.Asked(); len(asked) > 2 {
		t.Errorf("without news it asks for %v", asked)
	}
	copied := p.serve(Serve(dir, "vendor", "director"))
	src := func(name string) tufclient.Source {
		s, err := tufclient.NewHTTP(copied+"/"+name, nil)
		p.ok(err)
		t.Cleanup(s.Close)
		return s
	}
	o, data, err := p.node(t.TempDir(), p.repository("vendor", src("vendor")), p.repository("director", src("director")))
	if err != nil || !bytes.Equal(data, image("1.2.0")) {
		t.Errorf("from the copy: %+v, %v", o, err)
	}
	// A neighbour copies the copy. Its source is gone half way: the vendor goes on.
	if _, err := p.mirror(t.TempDir(), "vendor", src("vendor")).Sync(t.Context()); err != nil {
		t.Errorf("a copy of the copy: %v", err)
	}
	for _, bad := range []string{"/vendor/lock", "/.state/vendor.trusted", "/vendor/metadata/", "/vendor/../.state/vendor.trusted", "/other/metadata/timestamp.json", "/vendor/metadata/..%2F..%2F.state%2Fvendor.trusted", "/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, copied+bad, nil)
		p.ok(err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		p.ok(err)
		if resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", bad, resp.Status)
		}
	}
	before := len(names(t, filepath.Join(dir, "vendor")))
	p.release("1.3.0")
	if c := sync("vendor"); !slices.Equal(versions(c), []string{"node 1.2.0", "node 1.3.0"}) {
		t.Errorf("after a release: %v", versions(c))
	}
	// Readers that began before find what they began with; after one more it is gone.
	if got := len(names(t, filepath.Join(dir, "vendor"))); got <= before {
		t.Errorf("there are %d files after %d", got, before)
	}
	sync("vendor")
	if got := len(names(t, filepath.Join(dir, "vendor"))); got != len(last) {
		t.Errorf("there are %d files, %d are listed", got, len(last))
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestBadSource has sources do harm to a mirror: each is refused with its own
// error, and the copy stays as it was.
func TestBadSource(t *testing.T) {
	p := newProvider(t, "1.0.0", "1.1.0")
	whole := t.TempDir()
	_, err := p.mirror(whole, "vendor").Sync(t.Context())
	p.ok(err)
	before := contents(t, filepath.Join(whole, "vendor"))
	old := maps.Clone(p.served.Files)
	p.release("1.2.0")
	good := maps.Clone(p.served.Files)
	instead := func(part string, body func(data []byte) io.Reader) func(context.Context, string, []byte) io.Reader {
		return func(_ context.Context, name string, data []byte) io.Reader {
			if !strings.Contains(name, part) {
				return nil
			}
			return body(data)
		}
	}
	endless := func([]byte) io.Reader { return tuftest.Endless{} }
	wrong := func(data []byte) io.Reader { return bytes.NewReader(bytes.ToUpper(data)) }
	older := tuftest.New(t, begin).Files["metadata/timestamp.json"]
	for _, tt := range []struct {
		name   string
		change func(m *tuftest.Mirror)
		want   error
	}{
		{"other bytes of a target", func(m *tuftest.Mirror) {
			m.Body = instead("1.2.0/", func(data []byte) io.Reader { return bytes.NewReader(bytes.Repeat([]byte("x"), len(data))) })
		}, tufclient.ErrHash},
		{"an endless target", func(m *tuftest.Mirror) { m.Body = instead("leap.efi", endless) }, tufclient.ErrLength},
		{"an endless timestamp", func(m *tuftest.Mirror) { m.Body = instead("timestamp", endless) }, tufclient.ErrLength},
		{"endless targets metadata", func(m *tuftest.Mirror) { m.Body = instead("release.json", endless) }, tufclient.ErrLength},
		{"another repository's timestamp", func(m *tuftest.Mirror) { m.Files["metadata/timestamp.json"] = older }, tufclient.ErrThreshold},
		{"a snapshot that was changed", func(m *tuftest.Mirror) { m.Body = instead("snapshot", wrong) }, tufclient.ErrMixed},
		{"half of it", func(m *tuftest.Mirror) {
			m.Body = instead("leap.efi", func(data []byte) io.Reader { return tuftest.Broken(data, 1000) })
		}, io.ErrClosedPipe},
		{"targets that are gone", func(m *tuftest.Mirror) {
			maps.DeleteFunc(m.Files, func(name string, _ []byte) bool { return strings.Contains(name, "1.2.0/") })
		}, fs.ErrNotExist},
		{"slow", func(m *tuftest.Mirror) {
			m.Body = func(ctx context.Context, name string, _ []byte) io.Reader {
				if strings.Contains(name, "timestamp") {
					return tuftest.Trickle(ctx)
				}
				return nil
			}
		}, tufclient.ErrSlow},
	} {
		dir := t.TempDir()
		p.ok(os.CopyFS(dir, os.DirFS(whole)))
		m := &tuftest.Mirror{Name: "bad", Files: maps.Clone(good)}
		tt.change(m)
		if _, err := p.mirror(dir, "vendor", m).Sync(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		after := contents(t, filepath.Join(dir, "vendor"))
		maps.DeleteFunc(after, func(name, _ string) bool { return before[name] == "" }) // Targets come first.
		if !maps.Equal(before, after) {
			t.Errorf("%s: the copy has changed", tt.name)
		}
	}
	dir := whole
	m := &tuftest.Mirror{Name: "bad", Files: good}
	m.Body = instead("leap.efi", wrong)
	next, err := tufclient.NewHTTP(p.urls["vendor"], nil)
	p.ok(err)
	t.Cleanup(next.Close)
	if _, err := p.mirror(dir, "vendor", m, next).Sync(t.Context()); err != nil {
		t.Errorf("a good source after a bad one: %v", err)
	}
	if _, err := p.mirror(dir, "vendor", &tuftest.Mirror{Name: "old", Files: old}).Sync(t.Context()); !errors.Is(err, tufclient.ErrRollback) {
		t.Errorf("an old copy: %v", err)
	}
}

// contents are the files below a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range names(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

// TestBrokenMirror ends a copy at each write, before it or in the middle of the
// file: who reads the copy gets the old release or the new one, and the same call
// does the rest.
func TestBrokenMirror(t *testing.T) {
	p := newProvider(t, "1.1.0")
	p.allow("1.1.0", image("1.1.0"), target.Permission{})
	old := t.TempDir()
	for _, name := range []string{"vendor", "director"} {
		_, err := p.mirror(old, name).Sync(t.Context())
		p.ok(err)
	}
	p.release("1.2.0")
	p.vendor.NextRoot(func() {})
	p.served.Files = maps.Clone(p.vendor.Files)
	p.allow("1.2.0", image("1.2.0"), target.Permission{})
	for at := 1; ; at++ {
		dir, state := t.TempDir(), t.TempDir()
		p.ok(os.CopyFS(dir, os.DirFS(old)))
		look := func() ([]byte, error) {
			local := func(name string) tufclient.Repository {
				return p.repository(name, tufclient.Dir(filepath.Join(dir, name)))
			}
			_, data, err := p.node(state, local("vendor"), local("director"))
			return data, err
		}
		if data, err := look(); err != nil || !bytes.Equal(data, image("1.1.0")) {
			t.Fatalf("write %d, before: %v", at, err)
		}
		r := &Repo{}
		breakAt(r, at)
		var err error
		for _, name := range []string{"vendor", "director"} {
			m := p.mirror(dir, name)
			m.write = r.write
			if _, err = m.Sync(t.Context()); err != nil {
				break
			}
		}
		if err == nil {
			if at < 8 {
				t.Fatalf("only %d writes", at-1)
			}
			t.Logf("%d writes", at-1)
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("write %d: %v", at, err)
		}
		if data, err := look(); err != nil || !bytes.Equal(data, image("1.1.0")) && !bytes.Equal(data, image("1.2.0")) {
			t.Errorf("write %d: %v", at, err)
		}
		for _, name := range []string{"vendor", "director"} {
			_, err := p.mirror(dir, name).Sync(t.Context())
			p.ok(err)
		}
		if data, err := look(); err != nil || !bytes.Equal(data, image("1.2.0")) {
			t.Errorf("write %d, again: %v", at, err)
		}
	}
}

// TestBundle carries one release to a place without network.
func TestBundle(t *testing.T) {
	p := newProvider(t, "1.0.0", "1.1.0", "1.2.0")
	p.allow("1.2.0", image("1.2.0"), target.Permission{})
	here, there := t.TempDir(), t.TempDir()
	var trees []BundleTree
	for _, name := range []string{"vendor", "director"} {
		m := p.mirror(here, name)
		m.Want = func(d target.Description) bool { return d.Variant == target.Node && d.Version == "1.2.0" }
		c, err := m.Sync(t.Context())
		p.ok(err)
		trees = append(trees, BundleTree{name, m.Dir, c.Files})
	}
	var out bytes.Buffer
	p.ok(WriteBundle(t.Context(), &out, trees, nil))
	carried := filepath.Join(there, "incoming")
	if _, err := ReadBundle(t.Context(), &out, carried, DefaultBundle); err != nil {
		t.Fatal(err)
	}
	p.urls = nil // No network.
	take := func(partial bool) (*Copied, error) {
		m := p.mirror(there, "vendor", tufclient.Dir(filepath.Join(carried, "vendor")))
		m.Partial = partial
		return m.Sync(t.Context())
	}
	if _, err := take(false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("all of the vendor's: %v", err)
	}
	c, err := take(true)
	if err != nil || len(c.Releases) != 1 || !slices.Contains(c.Absent, describe(target.Node, "1.1.0").Path()) {
		t.Errorf("from the bundle: %+v, %v", c, err)
	}
	_, err = p.mirror(there, "director", tufclient.Dir(filepath.Join(carried, "director"))).Sync(t.Context())
	p.ok(err)
	local := func(name string) tufclient.Repository {
		return p.repository(name, tufclient.Dir(filepath.Join(there, name)))
	}
	if _, data, err := p.node(t.TempDir(), local("vendor"), local("director")); err != nil || !bytes.Equal(data, image("1.2.0")) {
		t.Errorf("a node without network: %v", err)
	}
}

// TestChoose has a mirror copy the newest, what is pinned, what lies beside them, what
// leads to them, and small files.
func TestChoose(t *testing.T) {
	sum := func(version string) (s [32]byte) {
		copy(s[:], version)
		return s
	}
	var all []*tufclient.Target
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		for _, variant := range []target.Variant{target.Node, target.Client} {
			d := describe(variant, v)
			all = append(all, &tufclient.Target{Path: d.Path(), SHA256: sum(v), Length: 1 << 20}, &tufclient.Target{Path: d.Path() + ".zst", Length: 1 << 20})
		}
		all = append(all, &tufclient.Target{Path: fmt.Sprintf("deltas/%064d-%x.bsz", 0, sum(v)), Length: 1 << 20})
	}
	all = append(all, &tufclient.Target{Path: target.PlanPath, Length: 100}, &tufclient.Target{Path: "film.mp4", Length: 1 << 30})
	m := Mirror{Keep: 1, Pin: []string{"node/amd64/1.0.0/leap.efi"}, Want: func(d target.Description) bool { return d.Variant == target.Node }}
	var got []string
	for _, t := range m.choose(all) {
		got = append(got, t.Path)
	}
	want := []string{
		"node/amd64/1.0.0/leap.efi", "node/amd64/1.0.0/leap.efi.zst", all[4].Path,
		"node/amd64/1.2.0/leap.efi", "node/amd64/1.2.0/leap.efi.zst", all[14].Path, target.PlanPath,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len((Mirror{}).choose(all)); n != len(all)-1 {
		t.Errorf("without limits it copies %d of %d", n, len(all))
	}
}
