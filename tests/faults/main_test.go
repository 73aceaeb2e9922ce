// Package faults breaks a node in every way that an operator, a machine or a
// network can: a clock that is years off, no DHCP, documents and certificates
// that must be refused, services that are killed, a change of the network that
// cuts the operator off, a full disk, a power cut in the middle of that, a
// damaged disk. It is one story on one machine in QEMU, with the release as it
// is built and a saboteur beside its init (guest). And it runs the tests of the
// parts that speak to the kernel inside of a machine with the kernel of nodes,
// since that of a developer may lack what they need. All with -qemu.
package faults

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
