// Package update has a node update itself, as real machines do, from repositories
// that the lab serves: releases that are good and others, with the power cut on the
// way. It runs with -qemu, and all of it with -long.
package update

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/tests/firmware"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	long      = flag.Bool("long", false, "all cases: some 40 minutes")
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
