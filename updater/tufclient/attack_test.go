package tufclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"go.uber.org/goleak"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// day is a day.
const day = 24 * time.Hour

var machine = target.Machine{Variant: target.Client, OS: "linux", Arch: "amd64", Version: "0.9", State: 1}

func release(version string) target.Description {
	return target.Description{
		Schema: 1, Release: version, Variant: target.Client, Version: version, OS: "linux", Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
}

// content is a program, of more than one chunk.
func content(version string) []byte {
	return bytes.Repeat([]byte("the program leapc, version "+version+"\n"), 5000)
}

func add(t testing.TB, r *tuftest.Repo, d target.Description) {
	t.Helper()
	custom, err := d.Encode()
	must(t, err)
	r.Add("release", d.Path(), content(d.Version), custom)
}

// A world is a repository, its mirror, and a client that has installed 1.0.0 when
// 1.1.0 is published.
type world struct {
	t      testing.TB
	repo   *tuftest.Repo
	mirror *tuftest.Mirror
	dir    string
	clock  time.Duration // How much the client's clock is ahead.
	cfg    tufclient.Config
	before map[string][]byte // What was published before 1.0.0.
	view   *tufclient.View
	target *tufclient.Target
	small  bool // It is to come as a delta from what is installed, or packed.
	came   tufclient.Transfer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), repo: tuftest.New(t, time.Now())}
	w.before = maps.Clone(w.repo.Files)
	add(t, w.repo, release("1.0.0"))
	w.repo.Next("targets", "release")
	w.repo.Publish()
	w.mirror = w.repo.Mirror()
	w.cfg = tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "vendor", Root: w.repo.RootFile(1), Sources: []tufclient.Source{w.mirror}}},
		Dir:          filepath.Join(w.dir, "trusted"),
		Clock:        func() time.Time { return time.Now().Add(w.clock) },
	}
	must(t, w.update("1.0.0"))
	w.view, w.target = nil, nil
	return w
}

// next publishes 1.1.0.
func (w *world) next() {
	w.t.Helper()
	add(w.t, w.repo, release("1.1.0"))
	w.repo.Next("targets", "release")
	w.repo.Publish()
	maps.Copy(w.mirror.Files, w.repo.Files)
}

func (w *world) check() (err error) {
	c, err := tufclient.Open(w.cfg)
	must(w.t, err)
	w.view, err = c.Check(w.t.Context())
	return err
}

func (w *world) lookup(version string) (err error) {
	w.target, err = w.view.Lookup(w.t.Context(), release(version).Path())
	return err
}

func (w *world) installed() string { return filepath.Join(w.dir, "leapc") }

func (w *world) save() (err error) {
	c, err := tufclient.Open(w.cfg)
	must(w.t, err)
	if w.small {
		old, done := w.old()
		defer done()
		w.came, err = c.SaveFrom(w.t.Context(), w.view, w.target, old, w.installed(), 0o755)
		return err
	}
	return c.Save(w.t.Context(), w.target, w.installed(), 0o755)
}

// old is what is installed.
func (w *world) old() (old *tufclient.Old, done func()) {
	f, err := os.Open(w.installed())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, func() {}
	}
	must(w.t, err)
	data, err := io.ReadAll(f)
	must(w.t, err)
	return &tufclient.Old{ReaderAt: f, SHA256: sha256.Sum256(data), Length: int64(len(data))}, func() { f.Close() }
}

// update does what is left to do.
func (w *world) update(version string) error {
	if w.view == nil {
		if err := w.check(); err != nil {
			return err
		}
	}
	if w.target == nil {
		if err := w.lookup(version); err != nil {
			return err
		}
	}
	return w.save()
}

// kept is what is trusted and installed. What was fetched only in part is neither.
func (w *world) kept() map[string]string {
	all := map[string]string{}
	must(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".part") {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	}))
	return all
}

func (w *world) timestamp(change func(*metadata.TimestampType)) {
	change(&w.repo.Timestamp.Signed)
	w.repo.PublishTimestamp()
	w.mirror.Files["metadata/timestamp.json"] = w.repo.Files["metadata/timestamp.json"]
}

// republish publishes what was changed of the repository, as its signers would.
func (w *world) republish() {
	w.repo.Publish()
	maps.Copy(w.mirror.Files, w.repo.Files)
}

// body has the mirror send something else for a file.
func (w *world) body(name string, f func(ctx context.Context, data []byte) io.Reader) {
	w.mirror.Body = func(ctx context.Context, is string, data []byte) io.Reader {
		if strings.Contains(is, name) {
			return f(ctx, data)
		}
		return nil
	}
}

func endless(context.Context, []byte) io.Reader        { return tuftest.Endless{} }
func trickle(ctx context.Context, _ []byte) io.Reader  { return tuftest.Trickle(ctx) }
func garbage(_ context.Context, data []byte) io.Reader { return bytes.NewReader(bytes.ToUpper(data)) }

func more(_ context.Context, data []byte) io.Reader {
	return bytes.NewReader(append(bytes.Clone(data), ' '))
}

func less(_ context.Context, data []byte) io.Reader {
	return bytes.NewReader(data[:max(1, len(data))-1])
}

func text(s string) func(context.Context, []byte) io.Reader {
	return func(context.Context, []byte) io.Reader { return strings.NewReader(s) }
}

// When an attack begins: what comes before goes well.
const (
	atCheck = iota
	atLookup
	atFetch
)

type attack struct {
	at    int
	want  error
	do    func(w *world)
	moves bool // Signers did something: roots that they signed are kept.
}

// run lives one attack: it is refused with its own error, and what was trusted
// and installed before is so afterwards, byte for byte. The installed program is
// intact even where signers were part of it.
func (a attack) run(t *testing.T) {
	w := newWorld(t)
	if a.at > atCheck {
		w.next()
		must(t, w.check())
	}
	if a.at > atLookup {
		must(t, w.lookup("1.1.0"))
	}
	before := w.kept()
	if a.at == atCheck {
		w.next()
	}
	a.do(w)
	begin := time.Now()
	err := w.update("1.1.0")
	if !errors.Is(err, a.want) {
		t.Errorf("%v, want %v", err, a.want)
	}
	if d := time.Since(begin); d > 60*time.Second {
		t.Errorf("it took %v", d)
	}
	after := w.kept()
	if a.moves {
		maps.DeleteFunc(before, func(path, _ string) bool { return path != w.installed() })
		maps.DeleteFunc(after, func(path, _ string) bool { return path != w.installed() })
	}
	if !maps.Equal(before, after) {
		t.Error("what is trusted or installed has changed")
	}
	if got := after[w.installed()]; got != string(content("1.0.0")) {
		t.Errorf("%d other bytes are installed", len(got))
	}
}

func TestAttacks(t *testing.T) {
	for name, a := range attacks() {
		t.Run(name, func(t *testing.T) { synctest.Test(t, a.run) })
	}
}

// TestNoAttack expects that the same steps without an attack lead to the update,
// whenever they are done.
func TestNoAttack(t *testing.T) {
	for at := range 3 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.next()
			if at > atCheck {
				must(t, w.check())
			}
			if at > atLookup {
				must(t, w.lookup("1.1.0"))
			}
			must(t, w.update("1.1.0"))
			if w.kept()[w.installed()] != string(content("1.1.0")) {
				t.Error("1.1.0 is not installed")
			}
			if got := strings.Join(w.target.Signers, " "); got != "targets release" {
				t.Errorf("signed by %s", got)
			}
		})
	}
}
