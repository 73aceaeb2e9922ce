package kernel

import (
	"testing"

	"github.com/google/nftables"

	"leap.example/appliance/netcfg/nettest"
)

// Need skips a test that has no network of its own, or whose kernel has no
// nftables. It asks with a table of its own: what this package cannot do there is
// a failure.
func Need(t *testing.T) {
	t.Helper()
	nettest.Need(t)
	conn, err := nftables.New()
	if err != nil {
		t.Skipf("SKIPPED: the kernel has no nftables: %v", err)
	}
	probe := &nftables.Table{Name: "probe", Family: nftables.TableFamilyINet}
	conn.AddTable(probe)
	conn.DelTable(probe)
	if err := conn.Flush(); err != nil {
		t.Skipf("SKIPPED: the kernel lets nobody make a firewall here: %v", err)
	}
}
