package netcfg

import (
	"os"
	"testing"

	"leap.example/appliance/netcfg/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }
