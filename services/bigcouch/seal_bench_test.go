package bigcouch_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
	"leap.example/services/bigcouch/store"
)

// newKey writes a new key file.
func newKey(t testing.TB, n int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%064x\n", n), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sealedDisk returns the operating system's file system under the seal.
func sealedDisk(t testing.TB) vfs.FS {
	t.Helper()
	keys, err := sealed.ReadKeys([]string{newKey(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return sealed.New(vfs.Default, keys)
}

// BenchmarkSealedPut compares durable puts of new 1 KB documents on a sealed
// store with those on a plain one, in turns of the same run.
func BenchmarkSealedPut(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			ratio(b, openEngine(b, nil), openEngine(b, sealedDisk(b)), writers)
		})
	}
}

// ratio gives both engines the same work by short turns, and reports the
// medians over the turns: other users of the disk hit both alike.
func ratio(b *testing.B, plain, sealed func(store.Doc) (store.Rev, error), writers int) {
	const turn = 256
	var took [2][]float64
	var ratios []float64
	engines := [2]func(store.Doc) (store.Rev, error){plain, sealed}
	for done := 0; done < b.N; done += turn {
		for k := range engines {
			i := (k + done/turn) % 2 // Who comes second meets what the first has left to flush.
			propose, begun := engines[i], time.Now()
			calls(b, turn, writers, func(i int) error {
				_, err := propose(store.Doc{ID: fmt.Sprintf("%08d", done+i), Body: benchDocument(done + i)})
				return err
			})
			took[i] = append(took[i], time.Since(begun).Seconds())
		}
		ratios = append(ratios, took[0][len(took[0])-1]/took[1][len(took[1])-1])
	}
	b.ReportMetric(turn/median(took[0]), "plain/s")
	b.ReportMetric(turn/median(took[1]), "sealed/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkSealedGet compares reads of documents, most of which are not in the block
// cache but in that of the operating system.
func BenchmarkSealedGet(b *testing.B) {
	const docs = 20_000
	var took [2]time.Duration
	var views [2]*store.View
	db := &store.Database{ID: 1, Shard: 1, RevsLimit: 1000}
	for i, fs := range []vfs.FS{nil, sealedDisk(b)} {
		s, err := store.Open(store.Options{Dir: b.TempDir(), FS: fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < docs; n += 500 {
			batch, err := s.Batch(1)
			if err != nil {
				b.Fatal(err)
			}
			w := store.WriteDocs{DB: db.ID, RevsLimit: 1000}
			for k := n; k < n+500; k++ {
				w.Docs = append(w.Docs, store.Doc{ID: fmt.Sprintf("%08d", k), Body: benchDocument(k)})
			}
			_, e1 := batch.Apply(store.Position{Index: batch.Head().Index + 1}, store.Entry{Cmd: store.OpenDatabase{DB: db.ID}})
			_, e2 := batch.Apply(store.Position{Index: batch.Head().Index + 1}, store.Entry{Cmd: w})
			if err := errors.Join(e1, e2, batch.Commit(true)); err != nil {
				b.Fatal(err)
			}
		}
		views[i] = s.View()
		b.Cleanup(func() { views[i].Close(); s.Close() })
	}
	n := 0
	b.ResetTimer()
	for b.Loop() {
		for i, v := range views {
			begun := time.Now()
			if d, err := v.Document(db, fmt.Sprintf("%08d", n*7919%docs)); err != nil || d == nil {
				b.Fatal(d, err)
			}
			took[i] += time.Since(begun)
		}
		n++
	}
	b.ReportMetric(float64(took[0].Nanoseconds())/float64(n), "plain-ns")
	b.ReportMetric(float64(took[1].Nanoseconds())/float64(n), "sealed-ns")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
}
