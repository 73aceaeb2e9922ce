package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world has a vendor and a director on loopback, and a node that may copy them.
type world struct {
	t      *testing.T
	repos  map[string]*tuftest.Repo
	served map[string]*tuftest.Mirror
	urls   map[string]string
	dir    string
	news   atomic.Int64

	mu  sync.Mutex // Guards doc.
	doc node.Document
}

func newWorld(t *testing.T, versions ...string) *world {
	t.Helper()
	w := &world{t: t, repos: map[string]*tuftest.Repo{}, served: map[string]*tuftest.Mirror{}, urls: map[string]string{}, dir: filepath.Join(t.TempDir(), "mirror")}
	for _, name := range []string{"vendor", "director"} {
		w.repos[name] = tuftest.New(t, time.Now())
		w.served[name] = &tuftest.Mirror{Name: name}
		s := httptest.NewServer(w.served[name])
		t.Cleanup(s.Close)
		w.urls[name] = s.URL + "/repo/"
	}
	w.release(versions...)
	w.doc = node.Document{Updates: &node.Updates{
		Vendor: node.Repository{Root: string(w.repos["vendor"].RootFile(1))}, Director: node.Repository{Root: string(w.repos["director"].RootFile(1))},
		Mirror: &node.Mirror{Keep: 1, Port: freePort(t)},
	}, Mesh: &node.Mesh{Address: netip.MustParsePrefix("127.0.0.1/8")}}
	return w
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func image(version string) []byte { return bytes.Repeat([]byte(version+"\n"), 30_000) }

// release has both list releases.
func (w *world) release(versions ...string) {
	w.t.Helper()
	for name, r := range w.repos {
		for _, v := range versions {
			r.AddNode(v, image(v))
		}
		r.Next("release")
		r.Publish()
		w.served[name].Files = r.Mirror().Files
	}
}

func (w *world) document() node.Document {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doc
}

func (w *world) set(change func(u *node.Updates)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := *w.doc.Updates
	if u.Mirror != nil {
		m := *u.Mirror
		u.Mirror = &m
	}
	change(&u)
	w.doc.Updates = &u
}

func (w *world) keeper() *mirror.Keeper {
	return mirror.New(mirror.Config{Dir: w.dir, Document: w.document, Changed: func() { w.news.Add(1) }, Log: slog.New(slog.DiscardHandler)})
}

// take is what a node takes from the copies at a URL, or in the directory.
func (w *world) take(url, version string) ([]byte, error) {
	w.t.Helper()
	source := func(name string) tufclient.Source {
		if url == "" {
			return tufclient.Dir(filepath.Join(w.dir, name))
		}
		h, err := tufclient.NewHTTP(url+name, nil)
		check(w.t, err)
		w.t.Cleanup(h.Close)
		return h
	}
	c, err := tufclient.Open(tufclient.Config{Dir: w.t.TempDir(), Repositories: []tufclient.Repository{
		{Name: "vendor", Root: w.repos["vendor"].RootFile(1), Sources: []tufclient.Source{source("vendor")}},
		{Name: "director", Root: w.repos["director"].RootFile(1), Sources: []tufclient.Source{source("director")}},
	}})
	check(w.t, err)
	v, err := c.Check(w.t.Context())
	if err != nil {
		return nil, err
	}
	t, err := v.Lookup(w.t.Context(), tuftest.Node(version).Path())
	if err != nil {
		return nil, err
	}
	return c.Read(w.t.Context(), t, 1<<20)
}

// until waits until something is so.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// TestCopy has a node copy from the network and serve another one.
func TestCopy(t *testing.T) {
	w := newWorld(t, "1.0.0", "1.1.0")
	w.set(func(u *node.Updates) {
		u.Mirror.Vendor, u.Mirror.Director = []string{w.urls["vendor"]}, []string{"http://127.0.0.1:1/", w.urls["director"]}
	})
	k := w.keeper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	defer running.Wait()
	defer cancel()
	url := "http://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.doc.Updates.Mirror.Port).String() + "/"
	var data []byte
	w.until("1.1.0 is served", func() (ok bool) {
		var err error
		data, err = w.take(url, "1.1.0")
		return err == nil
	})
	if !bytes.Equal(data, image("1.1.0")) {
		t.Error("other bytes are served")
	}
	w.release("1.2.0")
	k.Wake()
	w.until("1.2.0 is served", func() bool {
		_, err := w.take(url, "1.2.0")
		return err == nil
	})
	// The director lists the older ones: they stay.
	w.until("the status is right", func() bool {
		s := k.Status()
		return len(s) == 2 && s[0].Name == "director" && s[1].Name == "vendor" && slices.Equal(s[1].Releases, []string{"1.0.0", "1.1.0", "1.2.0"}) && s[1].Error == ""
	})
	if w.news.Load() < 3 {
		t.Errorf("told %d times of news", w.news.Load())
	}
	// A source that does harm: what was copied stays, and the status says why.
	w.release("1.3.0")
	w.served["vendor"].Files[targetFile(t, w.served["vendor"], "1.3.0")] = []byte("something else")
	k.Wake()
	w.until("the status says what is wrong", func() bool { return k.Status()[1].Error != "" })
	if _, err := w.take(url, "1.2.0"); err != nil {
		t.Errorf("after a bad source: %v", err)
	}
	w.set(func(u *node.Updates) { u.Mirror = nil })
	k.Wake()
	w.until("nothing is served", func() bool {
		c, err := net.Dial("tcp", netip.MustParseAddrPort(url[len("http://"):len(url)-1]).String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func targetFile(t *testing.T, m *tuftest.Mirror, version string) string {
	t.Helper()
	for name := range m.Files {
		if filepath.Base(filepath.Dir(name)) == version {
			return name
		}
	}
	t.Fatalf("no %s", version)
	return ""
}

// bundle is one of what is published now.
func (w *world) bundle(names ...string) []byte {
	w.t.Helper()
	dir := w.t.TempDir()
	var trees []tufrepo.BundleTree
	for _, name := range names {
		m := tufrepo.Mirror{
			Repository: tufclient.Repository{Name: name, Root: w.repos[name].RootFile(1), Sources: []tufclient.Source{w.served[name]}},
			Dir:        filepath.Join(dir, name), State: filepath.Join(dir, ".state"), Keep: 1, Bare: name == "director",
		}
		c, err := m.Sync(w.t.Context())
		check(w.t, err)
		trees = append(trees, tufrepo.BundleTree{Name: name, Dir: m.Dir, Files: c.Files})
	}
	var out bytes.Buffer
	check(w.t, tufrepo.WriteBundle(w.t.Context(), &out, trees, nil))
	return out.Bytes()
}

// TestImport brings releases to a node that has no network at all.
func TestImport(t *testing.T) {
	w := newWorld(t, "1.0.0", "1.1.0")
	k := w.keeper()
	bring := func(bundle []byte) error { return k.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle))) }
	first := w.bundle("vendor", "director")
	check(t, bring(first))
	if data, err := w.take("", "1.1.0"); err != nil || !bytes.Equal(data, image("1.1.0")) {
		t.Errorf("from the bundle: %v", err)
	}
	if s := k.Status(); len(s) != 2 || !slices.Equal(s[1].Releases, []string{"1.1.0"}) || w.news.Load() != 2 {
		t.Errorf("the status is %+v, %d news", s, w.news.Load())
	}
	w.release("1.2.0")
	second := w.bundle("vendor", "director")
	check(t, bring(second))
	w.release("1.3.0")
	for name, bundle := range map[string][]byte{
		"an older one":       first,
		"half of one":        second[:len(second)/2],
		"a changed one":      bytes.Replace(w.bundle("vendor", "director"), []byte("1.3.0\n1.3.0\n"), []byte("1.3.0\n6.6.6\n"), 1),
		"no bundle":          []byte("something else that is no tar at all"),
		"another provider's": newWorld(t, "1.2.0").bundle("director"),
	} {
		if err := bring(bundle); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := w.take("", "1.2.0"); err != nil || !bytes.Equal(data, image("1.2.0")) {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if list, err := filepath.Glob(filepath.Join(w.dir, ".incoming*")); err != nil || len(list) > 0 {
		t.Errorf("%v stays, %v", list, err)
	}
	// A disk that has lost something: the same bundle mends it.
	check(t, bring(w.bundle("vendor", "director")))
	for _, pattern := range []string{"director/metadata/*.json", "vendor/metadata/*.json", "vendor/targets/node/amd64/*/*"} {
		list, err := filepath.Glob(filepath.Join(w.dir, pattern))
		check(t, err)
		for _, f := range list {
			check(t, os.Truncate(f, 10))
		}
	}
	check(t, bring(w.bundle("vendor", "director")))
	if data, err := w.take("", "1.3.0"); err != nil || !bytes.Equal(data, image("1.3.0")) {
		t.Errorf("after a damage: %v", err)
	}
	// Another director: what was copied of the one before counts no longer.
	w.repos["director"] = tuftest.New(t, time.Now())
	w.release("1.3.0")
	w.set(func(u *node.Updates) { u.Director.Root = string(w.repos["director"].RootFile(1)) })
	check(t, bring(w.bundle("director")))
	if _, err := w.take("", "1.3.0"); err != nil {
		t.Errorf("of another director: %v", err)
	}
	w.set(func(u *node.Updates) { u.Director.Root = "" })
	if err := bring(second); problem.KindOf(err) != problem.Invalid {
		t.Errorf("nobody is trusted: %v", err)
	}
	w.set(func(u *node.Updates) { u.Mirror = nil })
	if err := bring(second); problem.KindOf(err) != problem.Invalid {
		t.Errorf("no copies are wanted: %v", err)
	}
}

// TestNeighbour has a node without network copy from another one, which was brought
// one of the releases.
func TestNeighbour(t *testing.T) {
	w := newWorld(t, "1.0.0", "1.1.0")
	first := w.keeper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { first.Run(ctx) })
	bundle := w.bundle("vendor", "director")
	check(t, first.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle))))
	url := "http://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.doc.Updates.Mirror.Port).String() + "/"
	d := w.document()
	u := *d.Updates
	u.Mirror = &node.Mirror{Vendor: []string{"http://127.0.0.1:1/", url + "vendor/"}, Director: []string{url + "director/"}, Port: freePort(t)}
	d.Updates = &u
	second := mirror.New(mirror.Config{Dir: filepath.Join(t.TempDir(), "mirror"), Document: func() node.Document { return d }, Log: slog.New(slog.DiscardHandler)})
	running.Go(func() { second.Run(ctx) })
	w.until("the neighbour has 1.1.0", func() bool {
		second.Wake()
		s := second.Status()
		return len(s) == 2 && slices.Equal(s[1].Releases, []string{"1.1.0"}) && s[1].Error == ""
	})
	own := "http://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), u.Mirror.Port).String() + "/"
	w.until("the neighbour serves 1.1.0", func() bool {
		data, err := w.take(own, "1.1.0")
		return err == nil && bytes.Equal(data, image("1.1.0"))
	})
}

// slowBundle gives nothing until it is told to end.
type slowBundle chan struct{}

func (s slowBundle) Read([]byte) (int, error) {
	<-s
	return 0, io.ErrUnexpectedEOF
}

// TestBusy brings a bundle while another one is read.
func TestBusy(t *testing.T) {
	w := newWorld(t, "1.0.0")
	k := w.keeper()
	slow, ended := make(slowBundle), make(chan error)
	go func() { ended <- k.Import(t.Context(), slow, 1<<20) }()
	w.until("the first one is read", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, ".incoming"))
		return err == nil
	})
	if err := k.Import(t.Context(), bytes.NewReader(nil), 0); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("meanwhile: %v", err)
	}
	close(slow)
	if err := <-ended; !errors.Is(err, tufrepo.ErrFormat) {
		t.Errorf("the first one: %v", err)
	}
}
