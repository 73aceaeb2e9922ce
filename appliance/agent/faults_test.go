package agent_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// alone runs the test that calls it in a process that has a mount table of its
// own, and reports whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	const mark = "AGENT_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	uid := os.Geteuid()
	if uid != 0 { // He becomes root in a namespace of his own.
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran && uid != 0 {
		t.Skipf("mounting a small file system needs root, or unprivileged user namespaces: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// small has the node keep its generations on a small disk.
func (w *world) small() {
	w.t.Helper()
	w.stop()
	dir := filepath.Join(w.dir, "node")
	check(w.t, os.MkdirAll(dir, 0o700))
	check(w.t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	w.t.Cleanup(func() { w.stop(); check(w.t, unix.Unmount(dir, 0)) })
	w.start()
}

// fill leaves that many pages of the small disk free.
func (w *world) fill(left int64) {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.dir, "node", "fill"))
	check(w.t, err)
	const page = 4096
	for err == nil {
		_, err = f.Write(make([]byte, page))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		w.t.Fatal(err)
	}
	size, err := f.Seek(0, 1)
	check(w.t, err)
	check(w.t, f.Truncate(max(0, size-left*page)))
	check(w.t, f.Close())
}

// last is the first interface as it was made last.
func (w *world) last() node.Interface {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.networks) == 0 {
		return node.Interface{}
	}
	return w.networks[len(w.networks)-1].Interfaces[0]
}

// again ends the agent and starts it, and forgets what it has done.
func (w *world) again() {
	w.t.Helper()
	w.stop()
	w.mu.Lock()
	w.networks = nil
	w.mu.Unlock()
	w.start()
}

// TestFull gives a node a document for which its disk has no room: it refuses
// it, and is what it was after a restart.
func TestFull(t *testing.T) {
	if !alone(t) {
		return
	}
	w := newWorld(t)
	w.small()
	w.good(w.document(1, map[string]part{"mx": {}}), nil)
	w.fill(3)
	d := w.document(2, map[string]part{"mx": {}})
	mx := d.Services["mx"]
	mx.Files = map[string]string{"a": strings.Repeat("x", 20000)}
	d.Services["mx"] = mx
	if _, _, err := w.apply(w.bundle(d, nil)); !errors.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "cannot be kept") {
		t.Errorf("a document without room: %v", err)
	}
	w.again()
	w.eventually("it is what it was", func(s node.Status) bool {
		return s.Current.Number == 1 && s.Services["mx"].Healthy && len(s.Trouble) == 0
	})
	check(t, os.Remove(filepath.Join(w.dir, "node", "fill")))
	d.Generation = 3
	w.good(d, nil)
}

// TestFullOnTrial fills the disk while a document is judged that cuts the node
// off: the node goes back all the same, and keeps the verdict once it can.
func TestFullOnTrial(t *testing.T) {
	if !alone(t) {
		return
	}
	w := newWorld(t)
	w.small()
	w.good(w.document(1, map[string]part{"mx": {}}), nil)
	d := w.document(2, map[string]part{"mx": {}})
	d.Network.Interfaces[0].MTU = 1400
	d.Gate.Ready = node.Duration(2 * time.Second)
	full := make(chan bool)
	go func() {
		defer close(full)
		w.eventually("it is on trial", func(s node.Status) bool { return s.Current.State == node.StateTrial })
		w.fill(0)
	}()
	_, _, err := w.apply(w.bundle(d, nil))
	<-full
	if err == nil || !strings.Contains(err.Error(), "generation 2 is bad, which cannot be kept") {
		t.Errorf("got %v", err)
	}
	if i := w.last(); i.Name != "eth0" || i.MTU != 0 {
		t.Errorf("the network is %+v", i)
	}
	if _, _, err := w.apply(w.bundle(w.document(3, nil), nil)); !errors.Is(err, problem.Unavailable) {
		t.Errorf("another document meanwhile: %v", err)
	}
	check(t, os.Remove(filepath.Join(w.dir, "node", "fill")))
	w.eventually("the verdict is kept", func(s node.Status) bool {
		return s.Current.Number == 1 && s.Bad.Number == 2 && len(s.Trouble) == 0
	})
	w.again()
	w.eventually("it is what it was", func(s node.Status) bool { return s.Current.Number == 1 && s.Services["mx"].Healthy })
}

// TestCannotBeApplied has a node whose current generation cannot be applied when
// it starts: it goes to the newest one that can, or waits, and says why.
func TestCannotBeApplied(t *testing.T) {
	t.Parallel()
	damage := func(t *testing.T, w *world, name string) {
		check(t, os.WriteFile(filepath.Join(w.dir, "node", name), []byte("{"), 0o600))
	}
	for name, test := range map[string]struct {
		spoil   func(*testing.T, *world)
		mend    func(*testing.T, *world) // Nil: only another document does.
		current uint64
		why     string
	}{
		"older release": {func(_ *testing.T, w *world) { w.release = "1.1.0" }, func(_ *testing.T, w *world) { w.release = "1.2.0" }, 1, "generation 2 cannot be applied: this document needs release 1.2.0"},
		"document":      {func(t *testing.T, w *world) { damage(t, w, "2/document.json") }, nil, 1, "generation 2 cannot be applied"},
		"state":         {func(t *testing.T, w *world) { damage(t, w, "2/state.json") }, nil, 1, "generation 2 cannot be applied"},
		"current":       {func(t *testing.T, w *world) { damage(t, w, "current") }, nil, 2, "current is damaged"},
		"all": {func(t *testing.T, w *world) {
			damage(t, w, "1/document.json")
			damage(t, w, "2/document.json")
		}, nil, 0, "generation 2 cannot be applied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.good(w.document(1, map[string]part{"mx": {}}), nil)
			d := w.document(2, map[string]part{"mx": {}, "dns": {}})
			d.LeastImage = "1.2.0"
			w.good(d, nil)
			w.stop()
			test.spoil(t, w)
			w.again()
			w.eventually("it says why", func(s node.Status) bool {
				return s.Current.Number == test.current && len(s.Trouble) > 0 && strings.Count(s.Trouble[0], test.why) == 1
			})
			if i := w.last(); i.Name != "eth0" {
				t.Errorf("the network is %+v", i)
			}
			if test.current > 0 {
				w.eventually("its services work", func(s node.Status) bool { return s.Services["mx"].Healthy })
			}
			if test.mend != nil {
				w.stop()
				test.mend(t, w)
				w.again()
				w.eventually("it is what it should be", func(s node.Status) bool {
					return s.Current.Number == 2 && s.Services["dns"].Healthy && len(s.Trouble) == 0
				})
				return
			}
			w.good(w.document(3, map[string]part{"mx": {}}), nil) // The same as the first.
			w.again()
			w.eventually("the new one counts", func(s node.Status) bool { return s.Current.Number == 3 && len(s.Trouble) == 0 })
		})
	}
}

// TestPruneBad gives a node bad documents alone, and expects few of them to stay,
// and no secret of the others.
func TestPruneBad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	give := func(n uint64) {
		t.Helper()
		d := w.document(n, map[string]part{"mx": {}})
		d.Network.Interfaces[0].Name = "broken"
		value := []byte{byte(n)}
		d.Secrets = map[string]string{"k": node.SecretDigest(value)}
		if v, _, err := w.apply(w.bundle(d, map[string][]byte{"k": value})); err != nil || v.State != node.StateBad {
			t.Errorf("it is %+v, %v", v, err)
		}
	}
	kept := func(want ...string) {
		t.Helper()
		all, err := os.ReadDir(filepath.Join(w.dir, "node"))
		check(t, err)
		var got []string
		for _, e := range all {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("there are %v, not %v", got, want)
		}
	}
	for n := range uint64(6) {
		give(n + 1)
	}
	kept("3", "4", "5", "6", "current")
	w.good(w.document(7, map[string]part{"mx": {}}), nil)
	for n := range uint64(6) {
		give(n + 8)
	}
	kept("10", "11", "12", "13", "7", "current")
	if s := w.status(); len(s.Secrets) != 4 || s.Current.Number != 7 {
		t.Errorf("it says %+v", s)
	}
}

// TestNearlyFull has a disk of which little is left: the node says so.
func TestNearlyFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for free, want := range map[int64][]string{
		5 << 20:     nil,
		5<<20 - 1:   {"the disk is nearly full: 4 of 100 MiB are free"},
		100<<20 - 1: nil,
	} {
		w.free.Store(free)
		if s := w.status(); s.Disk.Free != free || !slices.Equal(s.Trouble, want) {
			t.Errorf("with %d bytes free it says %+v", free, s)
		}
	}
}
