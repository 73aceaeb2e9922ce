package group_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
	"leap.example/services/bigcouch/store"
)

// BenchmarkPropose writes new documents of 1 KB into a group of three nodes with
// the settings and the disk of production, but no HTTP before them: what a
// cluster of processes is compared with. One writer stays with the leader, or
// with a node that follows; many are spread over all three.
func BenchmarkPropose(b *testing.B) {
	for _, through := range []struct {
		name    string
		writers int
		nodes   []string // A founds the group, and leads it.
	}{
		{"1", 1, []string{"a"}},
		{"1-follower", 1, []string{"b"}},
		{"64", 64, []string{"a", "b", "c"}},
	} {
		b.Run(through.name, func(b *testing.B) {
			c := newCluster(b, abc(), "a", "b", "c")
			c.heartbeat = 0
			c.options = func(name string) store.Options {
				return store.Options{Dir: filepath.Join(b.TempDir(), name), FS: underSeal(b), CacheBytes: 16 << 20, MemTableBytes: 8 << 20}
			}
			c.start("a", "b", "c")
			c.open("a")
			nodes := through.nodes
			took := make([]time.Duration, b.N)
			next := make(chan int)
			var wg sync.WaitGroup
			b.ResetTimer()
			for range through.writers {
				wg.Go(func() {
					for i := range next {
						doc := store.Doc{ID: fmt.Sprintf("%08d", i), Body: kilobyte(i)}
						begun := time.Now()
						r, err := c.propose(nodes[i%len(nodes)], 1, store.WriteDocs{DB: dbID, RevsLimit: 1000, Docs: []store.Doc{doc}})
						if err != nil || r.Err != nil || r.Docs[0].Err != nil {
							b.Error(err, r)
						}
						took[i] = time.Since(begun)
					}
				})
			}
			for i := range b.N {
				next <- i
			}
			close(next)
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// kilobyte returns the body of a document.
func kilobyte(i int) []byte {
	return fmt.Appendf(nil, `{"type":"message","n":%d,"text":%q}`, i, strings.Repeat(fmt.Sprintf("%x", i*7919), 1000)[:960])
}

// underSeal returns the operating system's file system under a key.
func underSeal(b *testing.B) vfs.FS {
	b.Helper()
	file := filepath.Join(b.TempDir(), "key")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%064x\n", 1), 0o600); err != nil {
		b.Fatal(err)
	}
	keys, err := sealed.ReadKeys([]string{file})
	if err != nil {
		b.Fatal(err)
	}
	return sealed.New(vfs.Default, keys)
}
