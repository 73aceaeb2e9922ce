package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"leap.example/services/bigcouch/sealed"
)

// inUse returns the number of files by key, as text.
func inUse(t testing.TB, fs *sealed.FS) string {
	t.Helper()
	count, err := fs.InUse("db")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(count)
}

// While Pebble reads, writes, compacts and makes a checkpoint, its old files
// come under the new key; then the old key opens nothing that is needed.
func TestReseal(t *testing.T) {
	base := vfs.NewMem()
	old, both, fresh := sealed.New(base, keysOf(t, 1)), sealed.New(base, keysOf(t, 2, 1)), sealed.New(base, keysOf(t, 2))
	db := openDB(t, old)
	fill(t, db, 0, 5000)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Check("db"); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("with the new key alone: %v", err)
	}
	if err := both.Check("db"); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, both)
	before := inUse(t, both)
	if !strings.Contains(before, keysOf(t, 1).Current().String()) {
		t.Fatalf("in use at first: %s", before)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		fill(t, db, 5000, 8000)
		if err := db.Checkpoint("copy", pebble.WithFlushedWAL()); err != nil {
			t.Error(err)
		}
		if err := db.Compact(t.Context(), key(0), key(9000), false); err != nil {
			t.Error(err)
		}
	})
	n, err := both.Reseal(t.Context(), "db")
	if err != nil || n == 0 {
		t.Errorf("resealed %d, %v", n, err)
	}
	wg.Wait()
	have(t, "resealed", db, 8000)
	if again, err := both.Reseal(t.Context(), "db"); again != 0 || err != nil {
		t.Errorf("resealed again %d, %v", again, err)
	}
	if after := inUse(t, both); strings.Contains(after, keysOf(t, 1).Current().String()) {
		t.Errorf("in use after: %s; before: %s", after, before)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, fresh)
	have(t, "with the new key alone", db, 8000)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	copied, err := pebble.Open("copy", &pebble.Options{FS: both, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	have(t, "the checkpoint", copied, 8000)
	if err := sealed.CheckPlain(base, "copy"); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("the checkpoint opens without a key: %v", err)
	}
	if err := both.Check("copy"); err != nil {
		t.Errorf("the checkpoint: %v", err)
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store in the clear does not open with a key; it is sealed while it is
// closed. Power fails, and the disk is full, at any step of it: the store opens
// with or without the key, or not at all until the work was finished.
func TestSealInterrupted(t *testing.T) {
	keys := keysOf(t, 1)
	rng := rand.New(rand.NewPCG(5, 6))
	plain := vfs.NewCrashableMem()
	db := openDB(t, plain)
	fill(t, db, 0, 2000)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for step := 0; ; step++ {
		base := plain.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		n := 0
		failing := errorfs.Wrap(base, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if o.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if n++; n > step {
					return errors.New("the power is off")
				}
			}
			return nil
		}))
		_, err := sealed.New(failing, keys).Seal(t.Context(), "db")
		after := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		fs := sealed.New(after, keys)
		when := fmt.Sprintf("cut at step %d", step)
		switch checked, clear := fs.Check("db"), sealed.CheckPlain(after, "db"); {
		case clear == nil && err != nil: // Nothing was done yet.
			db := openDB(t, after)
			have(t, when+", in the clear", db, 2000)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		case checked != nil && (!errors.Is(checked, sealed.ErrPlain) || !errors.Is(clear, sealed.ErrKey)):
			t.Fatalf("%s: with key %v, without %v", when, checked, clear)
		case err == nil && checked != nil:
			t.Fatalf("%s: sealed, and yet %v", when, checked)
		}
		if _, err := fs.Seal(t.Context(), "db"); err != nil {
			t.Fatalf("%s, sealing again: %v", when, err)
		}
		if err := fs.Check("db"); err != nil {
			t.Fatalf("%s, sealed again: %v", when, err)
		}
		db := openDB(t, fs)
		have(t, when+", sealed", db, 2000)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			t.Logf("%d steps", step)
			return
		}
	}
}

// Reseal ends with its context, leaves nothing behind, and brings back nothing
// that was removed meanwhile.
func TestResealStops(t *testing.T) {
	base := vfs.NewMem()
	write(t, sealed.New(base, keysOf(t, 1)), "f", strings.Repeat("text", 100_000))
	fs := sealed.New(base, keysOf(t, 2, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := fs.Reseal(ctx, ""); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Reseal = %d, %v", n, err)
	}
	write(t, base, "resealing.f", "left by a crash")
	removing := sealed.New(errorfs.Wrap(base, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if o.Kind == errorfs.OpCreate {
			return base.Remove("f") // Between opening and renaming.
		}
		return nil
	})), keysOf(t, 2, 1))
	if _, err := removing.Reseal(t.Context(), ""); err != nil {
		t.Error(err)
	}
	if names, err := base.List(""); err != nil || len(names) > 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

// A store that is open cannot be sealed.
func TestSealLocks(t *testing.T) {
	base := vfs.NewMem()
	db := openDB(t, base)
	if _, err := sealed.New(base, keysOf(t, 1)).Seal(t.Context(), "db"); err == nil {
		t.Error("an open store was sealed")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
