// Package uefi starts nodes as real machines start them, by firmware, boot
// loader and disk, gives them releases, and expects them to keep the good ones
// and to come back from the others. It runs with -qemu.
package uefi

import (
	"os"
	"testing"

	"leap.example/image/deploy"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
)

func TestMain(m *testing.M) { firmware.Main(m) }

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
	return &rig{firmware.New(t)}
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
