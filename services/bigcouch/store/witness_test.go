package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logsOf returns the write-ahead logs of a store, and its witnesses.
func logsOf(t *testing.T, fs vfs.FS) (logs, witnesses []string) {
	t.Helper()
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, logSuffix):
			logs = append(logs, "db/"+name)
		case strings.HasSuffix(name, witnessSuffix):
			witnesses = append(witnesses, "db/"+name)
		}
	}
	return logs, witnesses
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func replace(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// reopen opens the store on fs as it is, and closes it.
func reopen(fs vfs.FS) error {
	s, err := Open(Options{Dir: "db", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return s.Close()
}

// crashed returns the disk of a store whose power failed after some writes of
// that size had been acknowledged.
func crashed(t *testing.T, rng *rand.Rand, writes, size int) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s := openMem(t, disk)
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	for i := range writes {
		body := fmt.Appendf(nil, `{"n":%q}`, bytes.Repeat([]byte{'a' + byte(i%26)}, size))
		commit(t, s, Entry{Cmd: write(Doc{ID: fmt.Sprint(i), Body: body})})
	}
	after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return after
}

// Damage anywhere in what was synced of the log is noticed, also in the last
// record, whatever the size of records.
func TestDamagedLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{100, 9_000, 60_000} {
		const writes = 3 // Pebble begins another log at 256 KB.
		disk := crashed(t, rng, writes, size)
		clone := func() *vfs.MemFS { return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}) }
		if err := reopen(clone()); err != nil {
			t.Fatalf("records of %d bytes, nothing damaged: %v", size, err)
		}
		logs, witnesses := logsOf(t, disk)
		if len(logs) != 1 || len(witnesses) != 1 {
			t.Fatalf("logs %v, witnesses %v", logs, witnesses)
		}
		data := contents(t, disk, logs[0])
		length, _, err := testimony(disk, witnesses[0])
		if err != nil || length < uint64(writes*size) || length > uint64(len(data)) {
			t.Fatalf("%d of %d bytes are said to be synced; %v", length, len(data), err)
		}
		at := []int{0, int(length) - 1, int(length) - size/2}
		for range 40 {
			at = append(at, rng.IntN(int(length)))
		}
		for _, i := range at {
			fs := clone()
			rotten := bytes.Clone(data)
			rotten[i] ^= 1 << rng.IntN(8)
			replace(t, fs, logs[0], rotten)
			if err := reopen(fs); !errors.Is(err, ErrDamaged) {
				t.Errorf("records of %d bytes, bit of byte %d of %d flipped: %v, want %v", size, i, length, err, ErrDamaged)
			}
		}
		fs := clone()
		replace(t, fs, logs[0], data[:length-1])
		if err := reopen(fs); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut short: %v, want %v", err, ErrDamaged)
		}
	}
}

// A witness that a power cut has left incomplete says less, and nothing false.
func TestIncompleteWitness(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	disk := crashed(t, rng, 8, 500)
	_, witnesses := logsOf(t, disk)
	data := contents(t, disk, witnesses[0])
	for name, left := range map[string][]byte{
		"empty":       {},
		"head":        []byte(witnessHead),
		"torn":        data[:len(data)-5],
		"hole":        append(make([]byte, 3*witnessRecord), data[3*witnessRecord:]...),
		"zeros":       make([]byte, len(data)),
		"other bytes": bytes.Repeat([]byte("rot"), 50),
	} {
		fs := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		replace(t, fs, witnesses[0], left)
		if err := reopen(fs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	orphan := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	replace(t, orphan, "db/999999"+witnessSuffix, data)
	if err := reopen(orphan); err != nil {
		t.Error(err)
	}
	if _, left := logsOf(t, orphan); len(left) > 1 {
		t.Errorf("witnesses of no log are kept: %v", left)
	}
}

// Logs come and go; their witnesses go with them.
func TestWitnessesGo(t *testing.T) {
	disk := vfs.NewMem()
	s := openMem(t, disk)
	defer s.Close()
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	for i := range 200 {
		commit(t, s, Entry{Cmd: write(Doc{ID: fmt.Sprint(i), Body: fmt.Appendf(nil, `{"n":%q}`, make([]byte, 20_000))})})
	}
	logs, witnesses := logsOf(t, disk)
	if len(witnesses) == 0 || len(witnesses) > len(logs) {
		t.Errorf("logs %v, witnesses %v", logs, witnesses)
	}
}
