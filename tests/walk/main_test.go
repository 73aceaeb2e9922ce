// Package walk goes the whole way of docs/lab.md: every command of it, as it stands
// there, in its order and in one shell, from an empty directory to two nodes that have
// updated themselves. Between the commands it looks whether what the document says has
// come to be. It runs with -qemu and -long.
package walk

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	long      = flag.Bool("long", false, "go the way of docs/lab.md: some ten minutes")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles and logs")
)

const (
	// patience is for one block of commands on a machine that is busy, has no KVM, and
	// has built nothing yet.
	patience = 20 * time.Minute
	// rollout is for two nodes to update themselves there, one after the other.
	rollout = 40 * time.Minute
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
