package vpn_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
)

var (
	leapc      = flag.String("vpn.leapc", "", "`path` of leapc; built if it is empty")
	peer       = flag.String("vpn.openvpn", "openvpn", "`program` to compare with")
	profiles   = flag.String("vpn.profiles", "", "`directory` for profiles; the helper is then part of this program")
	rounds     = flag.Int("vpn.rounds", 3, "how often each who is compared has its turn")
	turn       = flag.Duration("vpn.turn", 4*time.Second, "how long a turn of load takes")
	connects   = flag.Int("vpn.connects", 9, "how often each connects")
	enrolments = flag.Int("vpn.enrolments", 1000, "leases of a turn")
	limitTurn  = flag.Duration("vpn.limited", 10*time.Second, "how long a limited client's goodput is looked at")
)

// A reporter takes a figure and its unit, as B.ReportMetric does.
type reporter func(value float64, unit string)

// scenes are what is measured.
var scenes = []struct {
	name  string
	units []string // Some of what it reports, without OpenVPN.
	run   func(testing.TB, reporter)
}{
	{"throughput", []string{"raw-up-Mbit/s", "tunnel-up-Mbit/s", "tunnel-down-Mbit/s", "gateway-up-Mbit/s", "gateway-down-Mbit/s", "rss-MB"}, sceneThroughput},
	{"connect", []string{"rtt-ms", "cold-ms", "warm-ms"}, sceneConnect},
	{"enrol", []string{"leases/cpu-s", "echo/cpu-s", "x-echo"}, sceneEnrol},
	{"limited", []string{"down-share", "up-share", "neighbour-share"}, sceneLimited},
}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleName)]; role != nil {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, os.Getenv(roleName)+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := nettest.Main(m)
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// BenchmarkVPN runs each scene once, whatever b.N says.
func BenchmarkVPN(b *testing.B) {
	nettest.Need(b)
	for _, s := range scenes {
		b.Run(s.name, func(b *testing.B) {
			s.run(b, b.ReportMetric)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Each scene runs, if only just, and reports what figures are taken from.
func TestScenes(t *testing.T) {
	nettest.Need(t)
	*rounds, *turn, *connects, *enrolments, *limitTurn = 1, 50*time.Millisecond, 1, 4, 300*time.Millisecond
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			found := map[string]float64{}
			s.run(t, func(v float64, unit string) { found[unit] = v })
			for _, unit := range s.units {
				if found[unit] <= 0 {
					t.Errorf("%s is %v", unit, found[unit])
				}
			}
			t.Log(found)
		})
	}
}
