package couch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"

	"leap.example/tests/couch/foreign"
)

// Names of who is compared. The first is what the figures are about.
const (
	sealedNode = "leapd"
	plainNode  = "unsealed"
	pouch      = "pouchdb"
	bare       = "pebble"
	disk       = "fdatasync"
)

// servers starts those that speak HTTP, each with an empty database "db".
func servers(tb testing.TB) map[string]*client {
	tb.Helper()
	list := map[string]*client{
		sealedNode: single(tb, sealedNode, true).client,
		plainNode:  single(tb, plainNode, false).client,
	}
	if !*peer || *profiles != "" {
		tb.Log("not compared with pouchdb-server: not asked to")
	} else if err := foreign.Lacking(); err != nil {
		tb.Logf("NOT COMPARED WITH pouchdb-server: %v", err)
	} else {
		list[pouch] = newClient(tb, foreign.Serve(tb).URL, false)
	}
	for _, c := range list {
		c.must(tb, "PUT", "/db", nil)
	}
	return list
}

// A contender does one unit of the work that is compared.
type contender struct {
	name string
	do   func() error
}

// contest has all of them do the work by turns, each time in another order, and
// reports the median of the rates, of the ratios within a turn, and the times of
// the first.
func contest(tb testing.TB, report reporter, workers int, unit string, perCall float64, list []contender) {
	tb.Helper()
	rates := map[string][]float64{}
	var first []time.Duration
	for _, c := range list {
		during(tb, workers, *turnTime, c.do) // Once for nothing, to be warm.
	}
	for turn := range *turns {
		for k := range list {
			c := list[(turn+k)%len(list)]
			took, rate := during(tb, workers, *turnTime, c.do)
			rates[c.name] = append(rates[c.name], rate*perCall)
			if c.name == sealedNode {
				first = append(first, took...)
			}
		}
	}
	for _, c := range list {
		report(at(50, rates[c.name]), c.name+"-"+unit)
		var ratios []float64
		for i, r := range rates[c.name] {
			ratios = append(ratios, rates[sealedNode][i]/r)
		}
		if c.name != sealedNode {
			report(at(50, ratios), "x-"+c.name)
		}
	}
	report(ms(at(50, first)), "p50-ms")
	report(ms(at(99, first)), "p99-ms")
}

// counted returns a contender whose calls are numbered.
func counted(name string, f func(i int) error) contender {
	var n atomic.Int64
	return contender{name, func() error { return f(int(n.Add(1) - 1)) }}
}

// scenePut puts new documents, one by one.
func scenePut(workers int) func(testing.TB, reporter) {
	return func(tb testing.TB, report reporter) {
		var list []contender
		for name, c := range servers(tb) {
			list = append(list, counted(name, func(i int) error {
				return c.do("PUT", fmt.Sprintf("/db/%08d", i), document(i), nil)
			}))
		}
		db := barePebble(tb)
		list = append(list, counted(bare, func(i int) error {
			return db.Set(fmt.Appendf(nil, "%08d", i), document(i), pebble.Sync)
		}))
		if workers == 1 {
			f, err := os.Create(filepath.Join(tb.TempDir(), "log"))
			if err != nil {
				tb.Fatal(err)
			}
			defer f.Close()
			list = append(list, counted(disk, func(i int) error {
				_, err := f.Write(document(i))
				return errors.Join(err, unix.Fdatasync(int(f.Fd())))
			}))
		}
		contest(tb, report, workers, "puts/s", 1, list)
	}
}

// sceneBulk puts new documents in lists.
func sceneBulk(tb testing.TB, report reporter) {
	const docs = 500
	var list []contender
	for name, c := range servers(tb) {
		list = append(list, counted(name, func(i int) error { return c.do("POST", "/db/_bulk_docs", bulk(i*docs, docs), nil) }))
	}
	db := barePebble(tb)
	list = append(list, counted(bare, func(i int) error {
		b := db.NewBatch()
		for k := i * docs; k < (i+1)*docs; k++ {
			if err := b.Set(fmt.Appendf(nil, "%08d", k), document(k), nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	}))
	contest(tb, report, 1, "docs/s", docs, list)
}

// barePebble opens a Pebble with its own settings.
func barePebble(tb testing.TB) *pebble.DB {
	tb.Helper()
	db, err := pebble.Open(tb.TempDir(), &pebble.Options{Logger: quiet{}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
