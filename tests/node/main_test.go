// Package node lives the life of one node with every service on it, from the
// provider instance to a node that has lost its power and is back: with the
// release as it is built, in QEMU, on a LAN of its own. It runs with -qemu.
package node

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	qemu      = flag.Bool("qemu", false, "boot a machine")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles, logs and captures")
)

// patience is for one step on a machine that is busy and has no KVM.
const patience = 5 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
