package sealed_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
)

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{
		FS: fs, Logger: quiet{}, MemTableSize: 64 << 10, FormatMajorVersion: pebble.FormatTableFormatV6, L0CompactionThreshold: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func key(i int) []byte   { return fmt.Appendf(nil, "key-%06d", i) }
func value(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("value-%d ", i), 30)) }

// fill writes rows from..to, some of them durably.
func fill(t testing.TB, db *pebble.DB, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		o := pebble.NoSync
		if i%20 == 0 || i == to-1 {
			o = pebble.Sync
		}
		if err := db.Set(key(i), value(i), o); err != nil {
			t.Fatal(err)
		}
	}
}

// have fails the test unless db has exactly n rows.
func have(t testing.TB, when string, db *pebble.DB, n int) {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for it.First(); it.Valid(); it.Next() {
		if string(it.Key()) != string(key(i)) || string(it.Value()) != string(value(i)) {
			t.Fatalf("%s: row %d is %s", when, i, it.Key())
		}
		i++
	}
	if err := it.Close(); err != nil || i != n {
		t.Fatalf("%s: %d rows of %d, %v", when, i, n, err)
	}
}

// listening is a disk that keeps what every file begins with.
type listening struct {
	vfs.FS
	mu      sync.Mutex
	headers map[string]int
	reused  int
}

func (l *listening) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return &listeningFile{File: f, l: l}, err
}

func (l *listening) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	panic("the file below was reused")
}

type listeningFile struct {
	vfs.File
	l    *listening
	once sync.Once
}

func (f *listeningFile) Write(p []byte) (int, error) {
	f.once.Do(func() {
		f.l.mu.Lock()
		defer f.l.mu.Unlock()
		f.l.headers[string(p)]++
	})
	return f.File.Write(p)
}

// reusing counts how often Pebble recycles a log.
type reusing struct {
	vfs.FS
	l *listening
}

func (r reusing) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	r.l.mu.Lock()
	r.l.reused++
	r.l.mu.Unlock()
	return r.FS.ReuseForWrite(old, name, c)
}

// Pebble recycles its log, and no two files ever have one salt, or one header.
func TestNoKeystreamTwice(t *testing.T) {
	l := &listening{FS: vfs.NewMem(), headers: map[string]int{}}
	fs := reusing{sealed.New(l, keysOf(t, 1)), l}
	rows := 0
	for round := range 3 {
		db := openDB(t, fs)
		have(t, fmt.Sprint("round ", round), db, rows)
		fill(t, db, rows, rows+3000)
		rows += 3000
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reused < 5 {
		t.Errorf("a log was recycled %d times only", l.reused)
	}
	salts := map[string]bool{}
	for h, n := range l.headers {
		if len(h) != 64 || n != 1 || salts[h[16:40]] {
			t.Errorf("header %x of %d files", h, n)
		}
		salts[h[16:40]] = true
	}
	t.Logf("%d files, %d logs recycled", len(l.headers), l.reused)
}
