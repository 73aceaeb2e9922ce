package deploy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"leap.example/appliance/efi"
	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/services/protocol/problem"
)

// release writes a release to a file.
func release(t *testing.T, version string) (deploy.Release, int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), efi.FileName(version))
	content := efitest.UKI(version, "kernel", strings.Repeat("x", 2<<20)) // More than is sent without asking.
	check(t, os.WriteFile(path, content, 0o600))
	r, err := deploy.OpenRelease(path)
	check(t, err)
	if r.Version != version || r.Size != int64(len(content)) {
		t.Errorf("%s is %+v", path, r)
	}
	return r, len(content)
}

// TestUpdate gives a node releases: a good one, a bad one, the bad one again; and
// has it go back.
func TestUpdate(t *testing.T) {
	w := newWorld(t, "a")
	agent := w.agents["a"]
	agent.JudgeReleases(func(version string) string {
		if version == "1.2.0" {
			return "no queue"
		}
		return ""
	})
	c := w.access(node.RoleDeploy).NewClient(agent.Address(), node.ServerName("a", "demo.example"))
	var said []string
	told := func(s string) { said = append(said, s) }
	good, size := release(t, "1.1.0")
	var went atomic.Int64
	sent := func(done, total int64) {
		if went.Store(done); total != int64(size) {
			t.Errorf("%d of %d bytes are sent", done, total)
		}
	}
	for range 2 { // The second time it runs already.
		check(t, c.Update(t.Context(), good, deploy.Updating{Told: told, Sent: sent}))
		if got := agent.Taken(); got != size || went.Load() != int64(size) {
			t.Errorf("%d bytes were sent, of %d; told of %d", got, size, went.Load())
		}
	}
	if came := agent.Came(); came > size/10 {
		t.Errorf("%d bytes of a release came in %d", size, came)
	}
	if last := said[len(said)-1]; last != "release 1.1.0 is good" {
		t.Errorf("it says %q", said)
	}
	bad, more := release(t, "1.2.0")
	if err := c.Update(t.Context(), bad, deploy.Updating{Told: told}); !errors.Is(err, deploy.ErrBadRelease) || !strings.HasSuffix(err.Error(), ": no queue") {
		t.Errorf("a bad one: %v", err)
	}
	if err := c.Update(t.Context(), bad, deploy.Updating{Told: told}); !errors.Is(err, problem.Invalid) || agent.Taken() != size+more {
		t.Errorf("the bad one again: %v, and %d bytes were sent", err, agent.Taken())
	}
	agent.JudgeReleases(nil)
	check(t, c.Update(t.Context(), bad, deploy.Updating{Told: told, Again: true}))
	check(t, c.Back(t.Context(), told))
	if s, err := c.Status(t.Context()); err != nil || s.Release != "1.1.0" {
		t.Errorf("it runs %s, %v", s.Release, err)
	}
	if err := c.Back(t.Context(), told); !errors.Is(err, problem.Invalid) {
		t.Errorf("back once more: %v", err)
	}
}

// TestPlain gives a release to a node that unpacks none.
func TestPlain(t *testing.T) {
	w := newWorld(t, "a")
	agent := w.agents["a"]
	check(t, agent.Close())
	agent.Plain = true
	check(t, agent.Start("127.0.0.1:0"))
	r, size := release(t, "1.1.0")
	c := w.access(node.RoleDeploy).NewClient(agent.Address(), node.ServerName("a", "demo.example"))
	check(t, c.Update(t.Context(), r, deploy.Updating{Told: func(string) {}}))
	if agent.Taken() != size || agent.Came() != size {
		t.Errorf("%d bytes came in %d", agent.Taken(), agent.Came())
	}
}

// TestOpenRelease refuses what is no whole release before it is sent.
func TestOpenRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "release.efi")
	if _, err := deploy.OpenRelease(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	content := efitest.UKI("1.1.0", "kernel", "initrd")
	for name, bad := range map[string][]byte{"empty": nil, "truncated": content[:len(content)-1000], "another program": efitest.Program(".text", "x")} {
		check(t, os.WriteFile(path, bad, 0o600))
		if _, err := deploy.OpenRelease(path); !errors.Is(err, efi.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
