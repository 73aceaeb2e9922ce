package couch_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"leap.example/tests/couchfaults/lab"
)

var (
	leapd     = flag.String("couch.leapd", "", "`path` of leapd; built if it is empty")
	profiles  = flag.String("couch.profiles", "", "`directory` for profiles; leapd is then the program ./node")
	peer      = flag.Bool("couch.peer", true, "compare with pouchdb-server, if it can be had")
	turns     = flag.Int("couch.turns", 10, "how often each who is compared has its turn")
	turnTime  = flag.Duration("couch.turn", 500*time.Millisecond, "how long a turn takes")
	rows      = flag.Int("couch.rows", 20_000, "rows of the feed that is read")
	databases = flag.Int("couch.databases", 10_000, "databases of a hundred documents; ten times as many empty ones")
	rest      = flag.Duration("couch.rest", 10*time.Second, "how long a node is left alone before its memory is read")
	part      = flag.Duration("couch.part", 10*time.Minute, "how long each part of the filling of databases may take; then there are fewer")
)

// ctx ends when the benchmark does.
var ctx = context.Background()

// A reporter takes a figure and its unit, as B.ReportMetric does.
type reporter func(value float64, unit string)

// scenes are what is measured.
var scenes = []struct {
	name  string
	units []string // Some of what it reports.
	run   func(testing.TB, reporter)
}{
	{"put/1", []string{"leapd-puts/s", "unsealed-puts/s", "pebble-puts/s", "fdatasync-puts/s", "x-pebble", "p99-ms"}, scenePut(1)},
	{"put/16", []string{"leapd-puts/s", "unsealed-puts/s", "x-pebble"}, scenePut(16)},
	{"put/64", []string{"leapd-puts/s", "unsealed-puts/s", "x-pebble"}, scenePut(64)},
	{"bulk", []string{"leapd-docs/s", "unsealed-docs/s", "x-pebble"}, sceneBulk},
	{"get", []string{"leapd-p50-ms", "unsealed-p50-ms"}, sceneGet},
	{"changes", []string{"leapd-p50-ms", "unsealed-p50-ms"}, sceneChanges},
	{"longpoll", []string{"leapd-p50-ms", "unsealed-p50-ms"}, sceneLongpoll},
	{"three", []string{"serial-puts/s", "64-p99-ms"}, sceneThree},
	{"million", []string{"docs", "rss-MB", "list-p50-ms", "drop-p50-ms", "restart-s"}, sceneMillion},
	{"databases", []string{"1x-create/s", "1x-rss-MB", "1x-restart-s", "10x-databases", "10x-KiB-per-db"}, sceneDatabases},
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run builds leapd, unless it is there.
func run(m *testing.M) (int, error) {
	if *leapd == "" {
		dir, err := os.MkdirTemp("", "leapd-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		if *leapd, err = lab.Build(ctx, dir); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

// BenchmarkCouch runs each scene once, whatever b.N says.
func BenchmarkCouch(b *testing.B) {
	for _, s := range scenes {
		b.Run(s.name, func(b *testing.B) {
			s.run(b, b.ReportMetric)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Each scene runs, if only just, and reports what figures are taken from.
func TestScenes(t *testing.T) {
	*turns, *turnTime, *rows, *databases, *rest = 1, 10*time.Millisecond, 50, 10, 0
	for _, s := range scenes {
		if s.name == "put/16" {
			continue // As the one before, and the one after.
		}
		t.Run(s.name, func(t *testing.T) {
			found := map[string]float64{}
			s.run(t, func(v float64, unit string) { found[unit] = v })
			*peer = false // Once is enough: it takes long to start.
			for _, unit := range s.units {
				if found[unit] <= 0 {
					t.Errorf("%s is %v", unit, found[unit])
				}
			}
			t.Log(found)
		})
	}
}
