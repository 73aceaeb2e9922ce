package update_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/appliance/update"
	"leap.example/services/protocol/problem"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world has both repositories, and what the nodes agree about.
type world struct {
	t                *testing.T
	vendor, director *tuftest.Repo
	mirrors          map[string]*tuftest.Mirror
	shared           *shared
	away             bool              // The repositories.
	drop             func(name string) // If it is there, bodies come in drops, each after this.
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, vendor: tuftest.New(t, time.Now()), director: tuftest.New(t, time.Now()), shared: &shared{}}
	w.mirrors = map[string]*tuftest.Mirror{}
	w.publish()
	return w
}

// publish has the mirrors have what the repositories have.
func (w *world) publish() {
	for name, r := range map[string]*tuftest.Repo{"vendor": w.vendor, "director": w.director} {
		for role := range r.Roles {
			r.Next(role)
		}
		r.Publish()
		w.mirrors[name] = r.Mirror()
	}
}

// RoundTrip is the network: it reaches the mirrors.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.away {
		return nil, errors.New("there is no network")
	}
	rec := httptest.NewRecorder()
	w.mirrors[req.URL.Host].ServeHTTP(rec, req)
	resp := rec.Result()
	if w.drop != nil {
		resp.Body = drops{resp.Body, func() { w.drop(req.URL.Path) }}
	}
	return resp, nil
}

// drops is a body that comes slowly.
type drops struct {
	io.ReadCloser
	each func()
}

func (d drops) Read(b []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	d.each()
	return d.ReadCloser.Read(b[:min(len(b), 256)])
}

// content is a release, the same whenever it is made.
func content(version string) []byte { return efitest.UKI(version, "kernel", "files of "+version) }

// released has both list it.
func (w *world) released(version string) {
	w.vendor.AddNode(version, content(version))
	w.director.AddNode(version, content(version))
	w.publish()
}

// plan has the vendor publish a plan.
func (w *world) plan(rollouts ...target.Rollout) {
	if w.vendor.Roles["rollout"] == nil {
		w.vendor.DelegatePlans()
	}
	text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
	must(w.t, err)
	w.vendor.Add("rollout", target.PlanPath, text, nil)
	w.publish()
}

// shared is what the nodes agree about.
type shared struct {
	mu    sync.Mutex
	value []byte
	rev   int
	down  error // The database.
	lame  error // One of its nodes.
}

func (s *shared) Read(context.Context, string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil || s.rev == 0 {
		return nil, "", s.down
	}
	return s.value, strconv.Itoa(s.rev), nil
}

func (s *shared) Write(_ context.Context, _, rev string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	if rev == "" {
		rev = "0"
	}
	if rev != strconv.Itoa(s.rev) {
		return problem.Stale.Errorf("it was changed")
	}
	s.value, s.rev = value, s.rev+1
	return nil
}

func (s *shared) Up(context.Context) error { return s.lame }
func (s *shared) Close() error             { return nil }

// turn is whose turn it is.
func (s *shared) turn() (phase, holder string) {
	var t struct{ Phase, Holder string }
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rev > 0 {
		if err := json.Unmarshal(s.value, &t); err != nil {
			panic(err)
		}
	}
	return t.Phase, t.Holder
}

// A machine is a node with a boot partition and a loader.
type machine struct {
	w       *world
	name    string
	dir     string
	doc     node.Document
	version string
	state   string // Of the release that runs.
	starts  []string
	ill     map[string]bool // Releases that never get healthy.
	settled bool
	cut     func(where string) // Before each thing that is done.
	u       *update.Updater
	stuck   error        // Why it does not restart.
	booting func()       // Takes as long as a start.
	room    func() int64 // On the writable partition.
	esp     sync.Mutex   // Held by who has the boot partition.
}

// memory is a directory in memory, where there is one: these tests make many things
// durable, and package tufclient and durable have tests of their own for that.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "leap-update-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// errOff is that the machine was switched off meanwhile.
var errOff = errors.New("the machine restarts")

func (w *world) machine(name string, releases ...string) *machine {
	m := &machine{w: w, name: name, dir: memory(w.t), ill: map[string]bool{}, settled: true, cut: func(string) {}, booting: func() {}, room: func() int64 { return 1 << 30 }}
	must(w.t, os.MkdirAll(filepath.Join(m.dir, "esp/EFI/Linux"), 0o700))
	for _, v := range releases {
		must(w.t, os.WriteFile(filepath.Join(m.dir, "esp/EFI/Linux", "leap_"+v+".efi"), content(v), 0o600))
	}
	m.doc = node.Document{Schema: 1, Updates: &node.Updates{
		Vendor:   node.Repository{Sources: []string{"http://vendor/repo/"}, Root: string(w.vendor.RootFile(1))},
		Director: node.Repository{Sources: []string{"http://director/repo/"}, Root: string(w.director.RootFile(1))},
		Slot:     &node.Slot{Couch: json.RawMessage("{}"), Secret: "password"},
	}}
	m.start()
	return m
}

func (m *machine) slots() *slots.Slots {
	return &slots.Slots{Running: m.version, Dir: filepath.Join(m.dir, "releases"), ESP: func(_ context.Context, f func(string) error) error {
		if !m.esp.TryLock() {
			return errors.New("somebody else has the boot partition")
		}
		defer m.esp.Unlock()
		return f(filepath.Join(m.dir, "esp"))
	}}
}

// start is firmware, loader, and an init that knows at once whether a release that is
// on trial is well; the trial itself is the agent's.
func (m *machine) start() {
	m.w.t.Helper()
	for {
		all, err := m.slots().List(m.w.t.Context())
		must(m.w.t, err)
		i := max(slices.IndexFunc(all, func(e slots.Entry) bool { return e.State() != slots.Bad }), 0)
		m.version, m.state = all[i].Version, node.StateGood
		if all[i].State() == slots.Trial {
			m.state = node.StateTrial
		}
		m.starts = append(m.starts, m.version)
		if m.state == node.StateGood || !m.ill[m.version] {
			break
		}
		must(m.w.t, m.slots().Condemn(m.w.t.Context(), "it is ill"))
	}
	m.u = update.New(update.Config{
		Node: m.name, Version: m.version, RAM: 512, Built: time.Now().Add(-time.Hour), Dir: filepath.Join(m.dir, "update"), Transport: m.w, Room: func() int64 { return m.room() },
		Agree: func(node.Slot, []byte) (update.Agreement, error) { return agreement{m.w.shared, m}, nil },
	}, m, slog.New(slog.DiscardHandler))
	m.u.SetDisk(func(write func(string, []byte) error) func(string, []byte) error {
		return func(path string, data []byte) error {
			m.cut("before " + filepath.Base(path))
			err := write(path, data)
			m.cut("after " + filepath.Base(path))
			return err
		}
	})
}

// agreement is what is shared, as seen by a machine that may be cut off.
type agreement struct {
	*shared
	m *machine
}

func (a agreement) Write(ctx context.Context, name, rev string, value []byte) error {
	a.m.cut("before an agreement")
	err := a.shared.Write(ctx, name, rev, value)
	a.m.cut("after an agreement")
	return err
}

func (m *machine) Document() (node.Document, bool) {
	return m.doc, m.settled && m.state == node.StateGood
}

func (m *machine) Image() node.Image {
	i := node.Image{Loader: "loader", State: m.state}
	all, err := m.slots().List(m.w.t.Context())
	must(m.w.t, err)
	for _, e := range all {
		i.Kept = append(i.Kept, node.Release{Version: e.Version, State: string(e.State())})
	}
	i.Bad, err = m.slots().Known()
	must(m.w.t, err)
	return i
}

func (m *machine) Secret(string) ([]byte, error) { return []byte("secret"), nil }

func (m *machine) Within(node.Document) time.Duration { return 10 * time.Minute }

func (m *machine) Old(ctx context.Context, f func(io.ReaderAt, int64) error) error {
	return m.slots().Old(ctx, f)
}

func (m *machine) Arm(ctx context.Context, t slots.Target, content io.Reader) error {
	if phase, holder := m.w.shared.turn(); m.doc.Updates.Slot != nil && (phase != "restarting" || holder != m.name) {
		m.w.t.Errorf("%s arms %s while %q is %q", m.name, t.Version, holder, phase)
	}
	m.cut("before arming")
	err := m.slots().Write(ctx, t, time.Minute, content)
	m.cut("after arming")
	return err
}

func (m *machine) Disarm(ctx context.Context, release string) error {
	m.cut("before disarming")
	err := m.slots().Disarm(ctx, release)
	m.cut("after disarming")
	return err
}

// Reboot ends the look, as a restart would.
func (m *machine) Reboot(context.Context) error {
	m.cut("before restarting")
	if m.stuck != nil {
		return m.stuck
	}
	panic(errOff)
}

// look looks once, and reports whether the machine was switched off meanwhile.
func (m *machine) look() (off bool, pause time.Duration) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case errOff:
			off = true
		default:
			panic(p)
		}
	}()
	return false, m.u.Look(m.w.t.Context())
}

// live looks until there is nothing to do soon, restarts when that is wanted, and
// has releases judged.
func (m *machine) live() {
	m.w.t.Helper()
	var states []string
	for range 50 {
		off, pause := m.look()
		if off {
			m.booting()
			m.start()
		}
		if m.state == node.StateTrial && m.proves() {
			must(m.w.t, m.slots().Bless(m.w.t.Context()))
			must(m.w.t, m.slots().Settle(m.w.t.Context()))
			m.state = node.StateGood
			continue
		}
		if off {
			continue
		}
		state := m.u.Status().State
		states = append(states, state)
		if pause > time.Minute || state == node.UpdateTurn || state == node.UpdateStopped {
			return
		}
		time.Sleep(pause)
	}
	m.w.t.Fatalf("%s never ends: %v", m.name, states)
}

func (m *machine) proves() bool {
	ctx, cancel := context.WithTimeout(m.w.t.Context(), time.Second)
	defer cancel()
	return m.u.Prove(ctx) == nil
}

// is fails unless a machine runs a release and says so of updates.
func (m *machine) is(version, state string) node.Update {
	m.w.t.Helper()
	s := m.u.Status()
	if m.version != version || s.State != state || m.state != node.StateGood {
		m.w.t.Errorf("%s runs %s, which is %s, not %s; updates: %s, not %s: %s", m.name, m.version, m.state, version, s.State, state, s.Reason)
	}
	return s
}

// lives is live, and then is.
func (m *machine) lives(version, state string) node.Update {
	m.w.t.Helper()
	m.live()
	return m.is(version, state)
}

// turn fails unless a turn is that one's.
func (w *world) turn(phase, holder string) {
	w.t.Helper()
	if p, h := w.shared.turn(); p != phase || h != holder {
		w.t.Errorf("the turn is %q of %q, not %q of %q", p, h, phase, holder)
	}
}

// files are those in the updater's directory, with their content.
func (m *machine) files() map[string]string {
	all := map[string]string{}
	list, err := os.ReadDir(filepath.Join(m.dir, "update"))
	must(m.w.t, err)
	for _, f := range list {
		text, err := os.ReadFile(filepath.Join(m.dir, "update", f.Name()))
		must(m.w.t, err)
		all[f.Name()] = fmt.Sprintf("%x", text)
	}
	return all
}
