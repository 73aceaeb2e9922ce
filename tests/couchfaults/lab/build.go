package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds leapd into dir, with the settings of "make", so that the build
// cache serves both, and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	return build(ctx, dir, "leap.example/appliance/cmd/leapd")
}

// BuildFoul builds the program of nodes on machines that misbehave. With clock
// it is built with a package time whose clock can be set: all packages are, so
// that takes minutes the first time.
func BuildFoul(ctx context.Context, dir string, clock bool) (string, error) {
	var flags []string
	if clock {
		overlay, err := otherTime(ctx, dir)
		if err != nil {
			return "", err
		}
		flags = []string{"-tags", "labclock", "-overlay", overlay}
	}
	return build(ctx, dir, "leap.example/tests/couchfaults/node", flags...)
}

func build(ctx context.Context, dir, pkg string, flags ...string) (string, error) {
	args := append(append([]string{"build"}, flags...), "-o", dir+"/", pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return filepath.Join(dir, filepath.Base(pkg)), nil
}

// Where time.Now asks for the time, and what it does then in the lab.
const (
	asks = "// Now returns the current local time.\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	adds = "//go:linkname labOffset\nvar labOffset int64\n\n" + asks + "\tsec += labOffset\n"
)

// otherTime writes a package time whose clock can be set, and returns the file
// that has the compiler take it.
func otherTime(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	usual := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(usual)
	if err != nil {
		return "", err
	}
	changed := strings.Replace(string(text), asks, adds, 1)
	if changed == string(text) {
		return "", errors.New("time.Now of this Go is not as expected: " + usual)
	}
	other := filepath.Join(dir, "time.go")
	if err := os.WriteFile(other, []byte(changed), 0o600); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]map[string]string{"Replace": {usual: other}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}
