// Package node lives the life of one node with every service on it, from the
// provider instance to a node that has lost its power and is back: with the
// release as it is built, in QEMU, on a LAN of its own. It runs with -qemu.
package node

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/image/provider"
	"leap.example/tests/lab"
)

var (
	qemu      = flag.Bool("qemu", false, "boot a machine")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles, logs and captures")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	domain   = "demo.example"
	title    = "Demonstration"
	nodeName = "n1"
	nodeIP   = "10.77.0.11"
	labIP    = "10.77.0.1"
)

// newLab makes a provider of one node, which runs everything and was never on. It
// has its address without asking.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	if !*qemu {
		t.Skip("a machine is booted with -qemu only")
	}
	dir := t.TempDir()
	op := lab.NewOperator(t, dir, provider.Answers{
		Domain: domain, Name: title, Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, `{
	"time": {"servers": ["`+labIP+`"]},
	"gate": {"ready": "3m", "watch": "3s"},
	"dns": {"resolver": {"upstreams": ["`+labIP+`:53"], "dnssec": "off"}},
}`)
	op.AddNode(nodeName, "services:couchdb,soledad,webapp,mx,dns", "ip_address:"+nodeIP,
		`network:{"interfaces":[{"name":"eth0","addresses":["`+nodeIP+`/24"],"gateways":["`+labIP+`"]}],"nameservers":["`+labIP+`"]}`)
	return lab.New(t, dir, op, lab.Options{Memory: map[string]int{"": 768}, CaptureBytes: 32 << 20, Artefacts: *artefacts})
}
