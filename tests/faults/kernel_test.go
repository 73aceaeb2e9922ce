package faults

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"leap.example/qemu/vm"
	"leap.example/tests/lab"
)

// TestKernel runs the tests of the parts of a node that speak to the kernel in a
// machine with the kernel of nodes, as root. Nothing may be skipped there but
// what is about other kernels.
func TestKernel(t *testing.T) {
	h := hypervisor(t)
	dir := t.TempDir()
	var config vm.Config
	lab.Step(t, "tests and kernel are made", func() {
		_, config = release(t, dir)
		program(t, filepath.Join(dir, "init"), "build", "leap.example/tests/faults/kernel")
		init, err := os.ReadFile(filepath.Join(dir, "init"))
		check(t, err)
		check(t, os.WriteFile(config.Initrd, vm.Initramfs(init), 0o600))
		check(t, archive(t, filepath.Join(dir, "disk"), dir))
	})
	config.Name, config.Memory = "kernel", 512
	config.Serial = filepath.Join(dir, "serial")
	config.Drives = []vm.Drive{{Path: filepath.Join(dir, "disk"), ReadOnly: true}}
	begin := time.Now()
	m, err := h.Start(t.Context(), config)
	check(t, err)
	defer func() { check(t, m.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := m.WaitSerial(ctx, 0, "kernel: done"); err != nil {
		t.Error(err)
	}
	console, err := os.ReadFile(config.Serial)
	check(t, err)
	text := strings.ReplaceAll(string(console), "\r", "")
	t.Logf("%6.1f s  %s", time.Since(begin).Seconds(), strings.Join(regexp.MustCompile(`(?m)^kernel: .*`).FindAllString(text, -1), ", "))
	for _, name := range kernelTests {
		if !strings.Contains(text, "kernel: "+filepath.Base(name)+" ok\n") {
			t.Errorf("%s does not pass:\n%s", name, text)
			break
		}
	}
	for _, skip := range regexp.MustCompile(`(?m)^ *--- SKIP: (\S+)`).FindAllStringSubmatch(text, -1) {
		if skip[1] != "TestErrors/a_kernel_without_WireGuard" {
			t.Errorf("%s is skipped:\n%s", skip[1], text)
		}
	}
	if strings.Contains(text, "WireGuard in user space") || strings.Count(text, "WireGuard of the kernel") < 2 {
		t.Error("mesh and gateway did not use the kernel's WireGuard")
	}
}

// kernelTests are the packages whose tests run.
var kernelTests = []string{"appliance/netcfg", "appliance/firewall", "appliance/mesh", "appliance/tunnel", "appliance/launch"}

// archive writes the programs of the tests, and what they read.
func archive(t *testing.T, path, dir string) error {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	add := func(name, from string) error {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	for _, name := range kernelTests {
		base := filepath.Base(name)
		read, err := filepath.Glob(filepath.Join("..", "..", name, "testdata", "*"))
		if err != nil {
			return err
		}
		for _, from := range read {
			if err := add(base+"/testdata/"+filepath.Base(from), from); err != nil {
				return err
			}
		}
		at := filepath.Join(dir, base)
		program(t, at, "test", "-c", "leap.example/"+name)
		if err := add(base+"/test", at); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const sector = 512
	return errors.Join(f.Truncate((info.Size()+sector-1)/sector*sector), f.Close())
}
