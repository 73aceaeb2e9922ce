// Package cluster lives the life of a provider of five nodes in QEMU: three of
// the database, one for the web, one for mail, from the provider instance to
// users whose mail arrives while nodes lose their power. It runs with -qemu.
package cluster

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles, logs and captures")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
