package unit_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leap.example/client/unit"
	"leap.example/services/protocol/problem"
)

// TestOwned: root does not run what others can replace, or what its unit cannot see.
func TestOwned(t *testing.T) {
	dir := t.TempDir() // Below /tmp, which all can write.
	program := filepath.Join(dir, "leapc")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	bad := []string{program, "leapc", "/usr/bin/env -S", `/usr/bin/"env`, "/root", "/root/leapc", "/home/leapc", "/run/user/0/leapc", "/opt/../root/leapc"}
	if i := slices.IndexFunc(bad, func(path string) bool { return problem.KindOf(unit.Owned(path)) != problem.Invalid }); i >= 0 {
		t.Errorf("%s would run as root", bad[i])
	}
	if got := unit.Owned("/homes"); problem.KindOf(got) == problem.Invalid {
		t.Errorf("what is called like a home: %v", got)
	}
	if err := unit.Owned("/usr/bin/env"); err != nil {
		t.Error(err)
	}
}
