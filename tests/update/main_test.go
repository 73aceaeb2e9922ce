// Package update has a node update itself, as real machines do, from repositories
// that the lab serves: releases that are good and others, with the power cut on the
// way. It runs with -qemu, and all of it with -long.
package update

import (
	"flag"
	"testing"

	"leap.example/tests/firmware"
)

var long = flag.Bool("long", false, "all cases: more than an hour")

func TestMain(m *testing.M) { firmware.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
