package bigcouch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// document of 1 KB that does not compress to nothing.
func benchDocument(i int) []byte {
	return fmt.Appendf(nil, `{"type":"message","n":%d,"text":%q}`, i, strings.Repeat(fmt.Sprintf("%x", i*7919), 1000)[:960])
}

// run measures b.N calls of f by so many writers and reports the median and
// the 99th percentile of one call.
func run(b *testing.B, writers int, f func(i int) error) {
	b.Helper()
	b.ResetTimer()
	took := calls(b, b.N, writers, f)
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// calls calls f n times by so many writers, and returns how long each took.
func calls(b *testing.B, n, writers int, f func(i int) error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range next {
				begun := time.Now()
				if err := f(i); err != nil {
					b.Error(err)
				}
				took[i] = time.Since(begun)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return took
}

// BenchmarkPut compares a durable put of a new 1 KB document with what the
// disk and Pebble alone take for as many bytes.
func BenchmarkPut(b *testing.B) {
	b.Run("append+fdatasync/1", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "log"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		run(b, 1, func(i int) error {
			if _, err := f.Write(benchDocument(i)); err != nil {
				return err
			}
			return unix.Fdatasync(int(f.Fd()))
		})
	})
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("pebble/%d", writers), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			run(b, writers, func(i int) error {
				return db.Set(fmt.Appendf(nil, "%08d", i), benchDocument(i), pebble.Sync)
			})
		})
		b.Run(fmt.Sprintf("engine/%d", writers), func(b *testing.B) { benchEngine(b, writers) })
	}
	b.Run("http/1", func(b *testing.B) { benchHTTP(b, 1) })
	b.Run("http/16", func(b *testing.B) { benchHTTP(b, 16) })
	b.Run("http/64", func(b *testing.B) { benchHTTP(b, 64) })
}

// BenchmarkUpdate edits one document again and again: its tree has as many
// revisions as are remembered.
func BenchmarkUpdate(b *testing.B) {
	propose := openEngine(b, nil)
	var rev store.Rev
	run(b, 1, func(i int) error {
		r, err := propose(store.Doc{ID: "a", Rev: rev, Body: benchDocument(i)})
		rev = r
		return err
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }

func benchEngine(b *testing.B, writers int) {
	propose := openEngine(b, nil)
	run(b, writers, func(i int) error {
		_, err := propose(store.Doc{ID: fmt.Sprintf("%08d", i), Body: benchDocument(i)})
		return err
	})
}

// openEngine opens a store on fs, or on the operating system's file system if
// that is nil, with a log and a database in it.
func openEngine(b *testing.B, fs vfs.FS) func(store.Doc) (store.Rev, error) {
	b.Helper()
	s, err := store.Open(store.Options{Dir: b.TempDir(), FS: fs, CacheBytes: 16 << 20, MemTableBytes: 8 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	l := shard.NewLocal(s, 2)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Close()
	})
	if _, _, err := l.Propose(ctx, 1, store.Entry{Cmd: store.OpenDatabase{DB: 1}}); err != nil {
		b.Fatal(err)
	}
	return func(d store.Doc) (store.Rev, error) {
		_, r, err := l.Propose(ctx, 1, store.Entry{Cmd: store.WriteDocs{DB: 1, RevsLimit: 1000, Docs: []store.Doc{d}}})
		if err != nil {
			return store.Rev{}, err
		}
		if r.Docs[0].Err != nil {
			return store.Rev{}, r.Docs[0].Err
		}
		return r.Docs[0].Rev, nil
	}
}

func benchHTTP(b *testing.B, writers int) {
	n := start(b, b.TempDir())
	n.admin(201, "PUT", "/db", "")
	run(b, writers, func(i int) error {
		return n.put(fmt.Sprintf("/db/%08d", i), benchDocument(i))
	})
}

func (n *node) put(path string, body []byte) error {
	req, err := http.NewRequest("PUT", n.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", password)
	resp, err := n.hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // Or the connection is not used again.
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// BenchmarkBulk writes lists of 500 documents of 1 KB.
func BenchmarkBulk(b *testing.B) {
	n := start(b, b.TempDir())
	n.admin(201, "PUT", "/db", "")
	docs := 0
	for b.Loop() {
		var body bytes.Buffer
		body.WriteString(`{"docs":[`)
		for i := range 500 {
			if i > 0 {
				body.WriteByte(',')
			}
			body.Write(benchDocument(docs))
			docs++
		}
		body.WriteString(`]}`)
		n.admin(201, "POST", "/db/_bulk_docs", body.String())
	}
	b.ReportMetric(float64(docs)/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkGet reads one document of 1 KB.
func BenchmarkGet(b *testing.B) {
	n := start(b, b.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", string(benchDocument(1)))
	run(b, 1, func(int) error {
		n.admin(200, "GET", "/db/a", "")
		return nil
	})
}
