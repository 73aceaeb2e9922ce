// Package uefi starts nodes as real machines start them, by firmware, boot
// loader and disk, gives them releases, and expects them to keep the good ones
// and to come back from the others. It runs with -qemu.
package uefi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/image/deploy"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles and logs")
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := firmware.Forget(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(status)
	}))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A rig is a node that is given releases.
type rig struct{ *firmware.Rig }

func newRig(t *testing.T) *rig {
	t.Helper()
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	return &rig{firmware.New(t, *artefacts)}
}

// file writes a release to a file.
func (l *rig) file(t *testing.T, b *uki.Build) deploy.Release {
	t.Helper()
	path := l.Path("release.efi")
	check(t, os.WriteFile(path, b.UKI, 0o600))
	r, err := deploy.OpenRelease(path)
	check(t, err)
	return r
}
