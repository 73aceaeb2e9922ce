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
	"time"

	"go.uber.org/goleak"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles and logs")
)

// patience is for one step on a machine that is busy and has no KVM.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := os.RemoveAll(programs.dir); err != nil {
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
