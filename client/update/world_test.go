package update_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/update"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

// TestMain has files in memory, where there is a place for it: syncing them, which
// the power tests do thousands of times, takes no time there.
func TestMain(m *testing.M) {
	syscall.Umask(0o022) // A prefix does not lie where a group can write.
	if dir, err := os.MkdirTemp("/dev/shm", "update-test-"); err == nil && os.Setenv("TMPDIR", dir) == nil {
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}))
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is a vendor with a repository, and a computer with a client.
type world struct {
	t      testing.TB
	repo   *tuftest.Repo
	mirror *tuftest.Mirror
	cfg    update.Config
	daemon *daemon
}

// newWorld has 1.0.0 installed and running, and nothing newer.
func newWorld(t testing.TB) *world {
	w := &world{t: t, repo: tuftest.New(t, time.Now())}
	w.repo.DelegatePlans()
	w.repo.Next("targets")
	w.repo.Publish()
	w.mirror = w.repo.Mirror()
	vendor := update.Vendor{Schema: 1, Root: w.repo.RootFile(1), Sources: []string{"http://vendor.example/repo/"}}
	w.cfg = update.Config{
		Vendor: vendor, OS: "linux", Arch: "amd64", Stored: 1, Try: try,
		Through: mirrored{w}, Log: slog.New(slog.DiscardHandler),
	}
	w.in(filepath.Join(t.TempDir(), "leap"))
	program := filepath.Join(t.TempDir(), "leapc")
	must(t, os.WriteFile(program, content("1.0.0"), 0o755))
	must(t, update.Install(t.Context(), w.cfg.Prefix, program, "1.0.0", &vendor))
	must(t, w.daemon.Restart(t.Context()))
	return w
}

// in has the client live in a directory.
func (w *world) in(dir string) {
	w.cfg.Prefix = update.Prefix(dir)
	w.daemon = &daemon{prefix: w.cfg.Prefix}
	w.cfg.Parts = []update.Part{w.daemon}
}

// content is a program: what it says of itself, and room.
func content(version string) []byte {
	return []byte(version + " linux amd64\n" + strings.Repeat(version, 30_000))
}

// try reads what a program says.
func try(_ context.Context, program string) (s update.Says, err error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return s, err
	}
	if info, err := os.Stat(program); err != nil || info.Mode().Perm()&0o100 == 0 {
		return s, errors.Join(err, errors.New("it cannot be started"))
	}
	if strings.HasPrefix(string(text), "fails") {
		return s, fmt.Errorf("%w: exit status 1", update.ErrTry)
	}
	_, err = fmt.Sscan(string(text), &s.Version, &s.OS, &s.Arch)
	return s, err
}

// fails returns a trial that every program fails.
func fails(why string) func(context.Context, string) (update.Says, error) {
	return func(context.Context, string) (update.Says, error) {
		return update.Says{}, fmt.Errorf("%w: %s", update.ErrTry, why)
	}
}

// A daemon is a part that runs the program that was current when it started.
// Programs that contain "mute" never answer.
type daemon struct {
	prefix update.Prefix

	mu   sync.Mutex
	runs string // The program's text; none: it has ended.
	gone bool   // If it has, it is not waited for.
	was  []string
}

func (*daemon) String() string { return "daemon" }

func (d *daemon) Version(context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.runs == "" && d.gone {
		return "", fmt.Errorf("the daemon: %w", update.ErrGone)
	}
	if d.runs == "" {
		return "", fmt.Errorf("the daemon: %w", update.ErrStopped)
	}
	if strings.Contains(d.runs, "mute") {
		return "", errors.New("it does not answer")
	}
	version, _, _ := strings.Cut(d.runs, " ")
	return version, nil
}

func (d *daemon) Restart(context.Context) error {
	text, err := os.ReadFile(d.prefix.Start())
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = string(text)
	d.was = append(d.was, strings.Fields(d.runs)[0])
	return nil
}

// mirrored answers from the world's mirror, with no network.
type mirrored struct{ w *world }

func (m mirrored) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	m.w.mirror.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// release describes one for this computer.
func release(version string) target.Description {
	return target.Description{
		Schema: 1, Release: version, Variant: target.Client, Version: version, OS: "linux", Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
}

// add lists a release with some bytes.
func (w *world) add(d target.Description, text []byte) {
	w.t.Helper()
	custom, err := d.Encode()
	must(w.t, err)
	w.repo.Add("release", d.Path(), text, custom)
	w.repo.Next("release")
	w.repo.Publish()
	w.mirror.Files = w.repo.Mirror().Files
}

// also lists a file beside the releases.
func (w *world) also(path string, text []byte) {
	w.t.Helper()
	w.repo.Add("release", path, text, nil)
	w.repo.Next("release")
	w.repo.Publish()
	w.mirror.Files = w.repo.Mirror().Files
}

// addPacked lists a release packed.
func (w *world) addPacked(version string, text []byte) {
	w.t.Helper()
	var b bytes.Buffer
	must(w.t, delta.Pack(&b, bytes.NewReader(text)))
	w.also(target.PackedPath(release(version).Path()), b.Bytes())
}

// addDelta lists what leads from one program to another.
func (w *world) addDelta(old, text []byte) {
	w.t.Helper()
	var b bytes.Buffer
	must(w.t, delta.Build(w.t.Context(), &b, old, text, nil))
	w.also(target.DeltaPath(sha256.Sum256(old), sha256.Sum256(text)), b.Bytes())
}

// plan publishes one.
func (w *world) plan(rollouts ...target.Rollout) {
	w.t.Helper()
	text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
	must(w.t, err)
	w.repo.Add("rollout", target.PlanPath, text, nil)
	w.repo.Next("rollout")
	w.repo.Publish()
	w.mirror.Files = w.repo.Mirror().Files
}

// open returns an updater as a new process has it.
func (w *world) open() *update.Updater {
	w.t.Helper()
	u, err := update.New(w.cfg)
	must(w.t, err)
	return u
}

func (w *world) apply() (string, error) { return w.open().Apply(w.t.Context(), update.How{}) }

// runs checks what is current and what the daemon is.
func (w *world) runs(version string) {
	w.t.Helper()
	current, err := w.cfg.Prefix.Current()
	runs, failed := w.daemon.Version(w.t.Context())
	if err != nil || failed != nil || current != version || runs != version {
		w.t.Errorf("%s (%v) is current, and %s (%v) runs; want %s", current, err, runs, failed, version)
	}
}

func (w *world) state() update.State {
	w.t.Helper()
	s, err := update.ReadState(w.cfg.Prefix.Dir())
	must(w.t, err)
	return s
}

// installed is what of a prefix decides what runs.
func (w *world) installed() tuftest.Tree {
	all := tuftest.ReadTree(w.t, string(w.cfg.Prefix))
	for name := range all {
		if strings.HasPrefix(name, "update/") {
			delete(all, name)
		}
	}
	return all
}
