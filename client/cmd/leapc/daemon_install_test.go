package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/services/protocol/problem"
)

// TestDaemonUnit writes the unit, has systemd read it, and removes it.
func TestDaemonUnit(t *testing.T) {
	u := userUnit{dir: filepath.Join(t.TempDir(), "systemd", "user"), command: []string{"/usr/bin/env", "daemon", "--home", "/home/50% $A b"}}
	for range 2 {
		if err := u.write(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(u.dir, daemonUnit)
	text, err := os.ReadFile(filepath.Join(u.dir, "default.target.wants", daemonUnit))
	if want := `ExecStart="/usr/bin/env" "daemon" "--home" "/home/50%% $$A b"` + "\n"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v\n%s", err, text)
	}
	if program, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("LOUD: systemd-analyze is not there: nobody has read the unit")
	} else if out, err := exec.CommandContext(t.Context(), program, "verify", path).CombinedOutput(); strings.Contains(string(out), daemonUnit) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
	for range 2 {
		if err := u.remove(); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(u.dir, "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	u.command[3] = "a\"b"
	if err := u.write(); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a quote: %v", err)
	}
}
