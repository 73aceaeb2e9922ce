// Package cluster lives the life of a provider of five nodes in QEMU: three of
// the database, one for the web, one for mail, from the provider instance to
// users whose mail arrives while nodes lose their power. It runs with -qemu.
package cluster

import (
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/appliance/netcfg/nettest"
)

var (
	qemu      = flag.Bool("qemu", false, "boot machines")
	long      = flag.Bool("long", false, "also have the database nodes update themselves: half an hour more")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles, logs and captures")
)

// TestMain has who may not listen below port 1024, where people look for a
// provider, do so in a network of his own.
func TestMain(m *testing.M) {
	flag.Parse()
	if *qemu && !below1024() {
		os.Exit(nettest.Main(m))
	}
	goleak.VerifyTestMain(m)
}

func below1024() bool {
	l, err := net.Listen("tcp", "127.0.0.1:25")
	if err == nil {
		err = l.Close()
	}
	return !errors.Is(err, os.ErrPermission) // Somebody else may listen there.
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
