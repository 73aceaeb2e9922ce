// Package systemd tries the client's units with a real systemd, on a machine made of
// namespaces: that it takes them, that the sandbox they ask for lets the client do its
// work, that it starts them when they are asked for, and again after an update.
package systemd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/update/oneshot"
	"leap.example/client/vpn/helper"
	"leap.example/tests/vendor"
)

// leapc is the program that root has installed.
const leapc = "/opt/leap/current/leapc"

// installed is the program of a version.
func installed(version string) string { return "/opt/leap/versions/" + version + "/leapc" }

// TestUnits has root install the client for all users, and a user log in and update it.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1.0.0", "1.1.0", "1.3.0"} {
		must(t, vendor.Build(t.Context(), version, filepath.Join(dir, "leapc-"+version)))
	}
	v, err := vendor.New(t.Context(), filepath.Join(t.TempDir(), "vendor"))
	must(t, err)
	t.Cleanup(func() { _ = v.Close() })
	root, err := os.ReadFile(v.Root)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "root.json"), root, 0o644))
	m := boot(t, dir, "")

	m.does(m.command("/programs/leapc-1.0.0", "update", "install", "--system", "/opt/leap", "--root", "/programs/root.json", "--source", v.Source))
	m.is(oneshot.Listen, "active")
	m.is(oneshot.Timer, "active")
	m.does(m.command(leapc, "vpn-helper", "install", "--user", "alice"))
	m.is(helper.Service, "active")
	m.does(m.command("systemctl", "start", "alice.service"))
	m.does(m.alices(leapc, "daemon", "install"))
	users := func(words ...string) *exec.Cmd {
		return m.alices(append([]string{"systemctl", "--user"}, words...)...)
	}
	roots := func(words ...string) *exec.Cmd { return m.command(append([]string{"systemctl"}, words...)...) }
	process, program := m.runs(users, "leapc.service")
	if program != installed("1.0.0") {
		t.Fatalf("the daemon is %s", program)
	}

	must(t, v.Release(t.Context(), "1.1.0", filepath.Join(dir, "leapc-1.1.0")))
	var applied struct {
		Version, Daemon string
		Installed       bool
	}
	out := m.does(m.alices(leapc, "update", "apply", "--json"))
	if err := json.Unmarshal([]byte(out), &applied); err != nil || !applied.Installed || applied.Version != "1.1.0" || applied.Daemon != "1.1.0" {
		t.Errorf("%v: %s", err, out)
	}
	if pid, program := m.runs(users, "leapc.service"); pid != process || program != installed("1.1.0") {
		t.Errorf("the daemon was process %s, and is %s: %s", process, pid, program)
	}
	if _, program := m.runs(roots, helper.Service); program != installed("1.1.0") {
		t.Errorf("the helper is %s", program)
	}
	m.is(oneshot.Service, "inactive") // It has done its work, and did not fail.

	// A version that does not work: the unit says so. Who asks by the socket, which systemd
	// hands over at every start, waits for a minute; without it none waits.
	m.does(m.command("systemctl", "stop", oneshot.Listen))
	bad := filepath.Join(t.TempDir(), "leapc")
	must(t, os.WriteFile(bad, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	must(t, v.Release(t.Context(), "1.2.0", bad))
	if err := m.command("systemctl", "start", oneshot.Service).Run(); err == nil {
		t.Error("a version that does not start is taken")
	}
	m.is(oneshot.Service, "failed")
	m.is(helper.Service, "active")
	if _, program := m.runs(roots, helper.Service); program != installed("1.1.0") {
		t.Errorf("the helper is %s", program)
	}

	// A helper that root has stopped is no reason not to update, and stays stopped.
	m.does(m.command("systemctl", "stop", helper.Service))
	must(t, v.Release(t.Context(), "1.3.0", filepath.Join(dir, "leapc-1.3.0")))
	m.does(m.command("systemctl", "start", oneshot.Service))
	if current := strings.TrimSpace(m.does(m.command("readlink", "-f", leapc))); current != installed("1.3.0") {
		t.Errorf("%s is current", current)
	}
	m.is(helper.Service, "inactive")

	m.does(m.command(leapc, "update", "uninstall"))
	for _, unit := range []string{oneshot.Listen, oneshot.Timer} {
		m.is(unit, "inactive")
	}
	m.does(m.alices(leapc, "daemon", "uninstall"))
	if err := users("is-active", "leapc.service").Run(); err == nil {
		t.Error("the daemon still runs")
	}
	m.does(m.command(leapc, "vpn-helper", "uninstall"))
	m.is(helper.Service, "inactive")
}

// runs is the process of a unit, and its program.
func (m *machine) runs(systemctl func(words ...string) *exec.Cmd, unit string) (pid, program string) {
	m.t.Helper()
	pid = strings.TrimSpace(m.does(systemctl("show", "--property=MainPID", "--value", unit)))
	return pid, strings.TrimSpace(m.does(m.command("readlink", "/proc/"+pid+"/exe")))
}
