// Package qemu boots virtual machines on the lab's LAN, with a guest of its own:
// what package vm and package vnet promise is seen on real machines only. With
// the flag -qemu; each takes seconds of both cores.
package qemu

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/gokrazy/kernel.amd64" // The kernel is a file of this module.
	"go.uber.org/goleak"

	"leap.example/qemu/vm"
)

var (
	boot      = flag.Bool("qemu", false, "boot virtual machines")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles and captures")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hypervisor is the one of this process.
var hypervisor = sync.OnceValues(func() (*vm.Hypervisor, error) {
	path, err := kernel()
	if err != nil {
		return nil, err
	}
	return vm.Open(context.Background(), vm.Options{Kernel: path})
})

// kernel returns the path of the kernel of the nodes.
var kernel = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gokrazy/kernel.amd64").Output()
	if err != nil {
		return "", fmt.Errorf("where the kernel is: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "vmlinuz"), nil
})

// guest builds the guest and returns the path of its initramfs.
func guest(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "init"), "leap.example/tests/qemu/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the guest: %v\n%s", err, text)
	}
	program, err := os.ReadFile(filepath.Join(dir, "init"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "initramfs")
	if err := os.WriteFile(path, vm.Initramfs(program), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// until polls f until it returns nil.
func until(ctx context.Context, what string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
