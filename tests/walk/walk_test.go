package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/qemu/local"
	"leap.example/tests/lab"
)

// A step is a block of the document, and what is to be so when it was done.
type step struct {
	has  string // What is in the block.
	what string
	into string // The file into which one writes the block. Empty: it is commands.
	then func(*testing.T, *walker)
}

// way is the document's.
var way = []step{
	{has: "make build", what: "the programs are built, in a clean checkout"},
	{has: "leap-sign init vendor", what: "the vendor has keys, a repository, and a plan of releases"},
	{has: "leap image tree build --release 1.1.0", what: "two releases are built, the second is signed and public"},
	{has: "leap new demo", what: "there is a provider, with a director and two nodes"},
	{has: `"updates":`, what: "its nodes are to update themselves", into: "common.json"},
	{has: "leap local start --release 1.0.0 --firmware", what: "the nodes run the first release", then: begun},
	{has: "leap update allow 1.1.0", what: "the second is allowed and carried, and is held", then: held},
	{has: "rollout begin 1.1.0", what: "the vendor begins, and that is carried", then: updated},
	{has: "leap update status", what: "the provider is told that all run it", then: told},
	{has: "leap local rm", what: "the machines are gone", then: gone},
}

// TestLab does what docs/lab.md says, word for word.
func TestLab(t *testing.T) {
	if !*qemu || !*long {
		t.Skip("machines are booted with -qemu, and this takes some ten minutes: with -long only")
	}
	w := newWalker(t)
	for k, b := range document(t) {
		s := way[k]
		lab.Step(t, s.what, func() {
			if s.into != "" {
				w.write(t, s.into, b.text)
				return
			}
			var err error
			if w.out, w.here, err = w.shell.run(b.text); err != nil {
				t.Fatalf("%v:\n%s\nIt has printed\n%s", err, b.text, w.out)
			}
		})
		if s.then != nil {
			s.then(t, w)
		}
	}
}

// write adds members to a file of the provider, beside what is there.
func (w *walker) write(t *testing.T, name, members string) {
	t.Helper()
	path := filepath.Join(w.here, name)
	text, err := os.ReadFile(path)
	check(t, err)
	before, after, ok := strings.Cut(string(text), "{\n")
	if !ok {
		t.Fatalf("%s is no object:\n%s", name, text)
	}
	check(t, os.WriteFile(path, []byte(before+"{\n"+members+after), 0o600))
}

// begun: both nodes run the first release, started as real machines are, and have
// found no other.
func begun(t *testing.T, w *walker) {
	for name, s := range w.reach(t) {
		if s.Release != "1.0.0" || !strings.HasPrefix(s.Image.Loader, "systemd-boot") || s.Image.State != node.StateGood {
			t.Errorf("%s runs %s: %+v", name, s.Release, s.Image)
		}
	}
	w.reads(t, &w.lab, "local", "ls")
	if len(w.lab.Nodes) != len(nodes) {
		t.Errorf("%+v", w.lab)
	}
	w.says(t, node.UpdateFailed)
}

// held: the nodes know of the release, and that nobody is to take it yet. They look in
// the background.
func held(t *testing.T, w *walker) {
	lab.Step(t, "both nodes say so", func() { w.says(t, node.UpdateHeld) })
}

// says waits until both nodes say that of updates.
func (w *walker) says(t *testing.T, state string) {
	t.Helper()
	w.until(t, patience, func() error {
		all := w.status(t)
		for _, name := range nodes {
			if s, answers := all[name]; !answers || s.Update == nil || s.Update.State != state {
				return fmt.Errorf("%s: %s", name, tell(s))
			}
		}
		return nil
	})
}

// told: "leap update status" and "leap status" say how it has ended, and the console
// shows the release.
func told(t *testing.T, w *walker) {
	if !strings.Contains(w.out, "starting, release 1.1.0") {
		t.Errorf("the console shows no start of the release:\n%s", w.out)
	}
	var now struct {
		Allowed []struct{ Version string }
		Newer   []string
		Copies  map[string][]node.Copy
		Nodes   map[string]string
	}
	w.reads(t, &now, "update", "status", "--source", "../vendor/public")
	if len(now.Allowed) != 1 || now.Allowed[0].Version != "1.1.0" || len(now.Newer) > 0 || !maps.Equal(now.Nodes, map[string]string{"db1": "1.1.0", "web1": "1.1.0"}) {
		t.Errorf("%+v", now)
	}
	if copies := now.Copies["db1"]; len(copies) != 2 || slices.ContainsFunc(copies, func(c node.Copy) bool { return c.Error != "" }) {
		t.Errorf("db1 has %+v", copies)
	}
	for name, s := range w.reach(t) {
		if s.Release != "1.1.0" || s.Image.State != node.StateGood || s.Update.State != node.UpdateNothing {
			t.Errorf("%s: %s", name, tell(s))
		}
	}
	t.Logf("           %.1f GB of the disk are taken", float64(w.takes(t))/1e9)
}

// gone: no machine runs, and nothing of one is left.
func gone(t *testing.T, w *walker) {
	var now local.Lab
	if w.reads(t, &now, "local", "ls"); now.PID != 0 || len(now.Nodes) > 0 {
		t.Errorf("%+v", now)
	}
	w.until(t, asks, func() error { // What runs them ends a moment after it says so.
		for _, pid := range w.processes() {
			if _, err := os.Stat(filepath.Join("/proc", pid)); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the process %s goes on", pid)
			}
		}
		return nil
	})
	left, err := os.ReadDir(filepath.Join(w.here, ".leap", "local"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, f := range left {
		t.Errorf("%s is left", f.Name())
	}
	i, err := provider.Open(w.here)
	check(t, err)
	for _, n := range i.Nodes {
		if n.Mesh.PublicKey != "" {
			t.Errorf("%s is still known as the machine that it was", n.Name)
		}
	}
}

// reach is how the nodes are, all of them.
func (w *walker) reach(t *testing.T) map[string]node.Status {
	t.Helper()
	all := w.status(t)
	if len(all) != len(nodes) {
		t.Fatalf("of the nodes answer only %q", slices.Sorted(maps.Keys(all)))
	}
	return all
}

// status is how those nodes are that answer.
func (w *walker) status(t *testing.T) map[string]node.Status {
	t.Helper()
	var all []struct {
		Node   string
		Status *node.Status
	}
	w.reads(t, &all, "status", "local")
	list := map[string]node.Status{}
	for _, one := range all {
		if one.Status != nil {
			list[one.Node] = *one.Status
		}
	}
	return list
}
