package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
)

// A bit flips anywhere in any file of a store that was closed, or whose power
// failed: all that was acknowledged is served as it was, or the store says
// that it is damaged.
func TestFlippedBits(t *testing.T) {
	keys := nodeKeys(t)
	plain := func(disk vfs.FS) (vfs.FS, error) { return disk, nil }
	seal := func(disk vfs.FS) (vfs.FS, error) { fs := sealed.New(disk, keys); return fs, fs.Check("db") }
	for _, tt := range []struct {
		name   string
		closed bool
		on     func(vfs.FS) (vfs.FS, error)
	}{
		{"plain, closed", true, plain},
		{"plain, power cut", false, plain},
		{"sealed, closed", true, seal},
		{"sealed, power cut", false, seal},
	} {
		t.Run(tt.name, func(t *testing.T) { flipBits(t, tt.closed, tt.on) })
	}
}

func flipBits(t *testing.T, closed bool, on func(vfs.FS) (vfs.FS, error)) {
	rng := rand.New(rand.NewPCG(7, 8))
	disk, docs := flipStore(t, closed, on)
	names, err := disk.List("db")
	if err != nil {
		t.Fatal(err)
	}
	detected, tries := 0, 0
	for _, n := range names {
		name := disk.PathJoin("db", n)
		raw, err := disk.UnsafeGetFileDataBuffer(name)
		if err != nil {
			t.Fatal(err)
		}
		for try := range min(len(raw), 60) {
			at := rng.IntN(len(raw))
			if try%2 == 0 {
				at = rng.IntN(min(len(raw), 130)) // Headers, and what comes first.
			} else if try%3 == 0 {
				at = len(raw) - 1 - rng.IntN(min(len(raw), 300)) // And last.
			}
			bit := byte(1) << rng.IntN(8)
			damaged := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
			flipped, err := damaged.UnsafeGetFileDataBuffer(name)
			if err != nil {
				t.Fatal(err)
			}
			flipped[at] ^= bit
			tries++
			if err := reads(damaged, docs, on); err != nil {
				detected++
				if errors.Is(err, errWrong) {
					t.Errorf("%s, byte %d of %d, bit %#x: %v", n, at, len(raw), bit, err)
				}
			}
		}
	}
	t.Logf("%d bits flipped in %d files: %d detected, the others did no harm", tries, len(names), detected)
}

// flipStore makes a store with tables and a log, and returns what it holds.
func flipStore(t *testing.T, closed bool, on func(vfs.FS) (vfs.FS, error)) (*vfs.MemFS, map[string]string) {
	disk := vfs.NewCrashableMem()
	fs, err := on(disk)
	if err != nil {
		t.Fatal(err)
	}
	s := openMem(t, fs)
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	docs := map[string]string{}
	for i := range 40 {
		id, body := fmt.Sprint("doc-", i), fmt.Sprintf(`{"n":%q}`, strings.Repeat(fmt.Sprint(i*7919), 40))
		docs[id] = body
		commit(t, s, Entry{Cmd: write(Doc{ID: id, Body: []byte(body)})})
		if i == 12 || i == 25 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if closed {
		return disk, docs
	}
	return crashed, docs
}

var errWrong = errors.New("wrong data served")

// reads reads all documents. Its error is errWrong unless the store said that
// it is damaged.
func reads(disk *vfs.MemFS, docs map[string]string, on func(vfs.FS) (vfs.FS, error)) error {
	fs, err := on(disk)
	if err != nil {
		return err
	}
	s, err := Open(Options{Dir: "db", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer s.Close()
	v := s.View()
	defer v.Close()
	for id, want := range docs {
		d, err := v.Document(testDB, id)
		if err != nil {
			return err
		}
		if d == nil {
			return fmt.Errorf("%w: %s is not there", errWrong, id)
		}
		body, err := v.Body(testDB, d, d.Rev)
		if err != nil {
			return err
		}
		if string(body.JSON) != want {
			return fmt.Errorf("%w: %s is %s", errWrong, id, body.JSON)
		}
	}
	return nil
}

// nodeKeys returns keys to seal a disk with.
func nodeKeys(t *testing.T) *sealed.Keys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(strings.Repeat("07", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := sealed.ReadKeys([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
