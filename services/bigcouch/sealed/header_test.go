package sealed_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
)

// plant puts raw bytes on a disk.
func plant(t testing.TB, base vfs.FS, raw string) {
	t.Helper()
	write(t, base, "f", raw)
}

// A header with any bit flipped, or of another key, opens nothing.
func TestHeader(t *testing.T) {
	base := vfs.NewMem()
	fs := sealed.New(base, keysOf(t, 1))
	write(t, fs, "f", "some text")
	raw, err := read(base, "f")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(raw) - len("some text"); n != 64 {
		t.Fatalf("the header has %d bytes", n)
	}
	for bit := range 64 * 8 {
		b := []byte(raw)
		b[bit/8] ^= 1 << (bit % 8)
		plant(t, base, string(b))
		if text, err := read(fs, "f"); !errors.Is(err, sealed.ErrDamaged) || !pebble.IsCorruptionError(err) {
			t.Errorf("bit %d flipped: %q, %v", bit, text, err)
		}
	}
	for _, tt := range []struct {
		name, raw string
		want      error
	}{
		{"in the clear", strings.Repeat("in the clear ", 20), sealed.ErrPlain},
		{"in the clear and short", "short", sealed.ErrPlain},
		{"zeroed header", strings.Repeat("\x00", 64) + raw[64:], sealed.ErrDamaged},
		{"empty", "", nil},
		{"torn to zeros", strings.Repeat("\x00", 64), nil},
		{"torn", raw[:40], nil},
		{"torn in the magic", raw[:4], nil},
		{"torn in sectors", raw[:30] + strings.Repeat("\x00", 34), nil},
		{"header alone", raw[:64], nil},
	} {
		plant(t, base, tt.raw)
		if text, err := read(fs, "f"); !errors.Is(err, tt.want) || text != "" {
			t.Errorf("%s: %q, %v; want %v", tt.name, text, err, tt.want)
		}
	}
	plant(t, base, raw)
	if _, err := read(sealed.New(base, keysOf(t, 2)), "f"); !errors.Is(err, sealed.ErrKey) || !strings.Contains(err.Error(), "key_files") {
		t.Errorf("with another key: %v", err)
	}
	if text, err := read(sealed.New(base, keysOf(t, 2, 1)), "f"); text != "some text" || err != nil {
		t.Errorf("with the key among old ones: %q, %v", text, err)
	}
}

// Power fails at any moment of writing: what was synced is there, and what is
// there can be opened.
func TestTornWrites(t *testing.T) {
	keys := keysOf(t, 1)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		base := vfs.NewCrashableMem()
		fs := sealed.New(base, keys)
		root, err := fs.OpenDir("")
		if err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create("f", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if rng.IntN(2) == 0 {
			if err := root.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		text, synced := "", 0
		for range rng.IntN(6) {
			piece := strings.Repeat(string(rune('a'+rng.IntN(26))), 1+rng.IntN(9000))
			if _, err := f.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
			text += piece
			if rng.IntN(3) == 0 {
				if err := errors.Join(f.Sync(), root.Sync()); err != nil {
					t.Fatal(err)
				}
				synced = len(text)
			}
		}
		after := sealed.New(base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}), keys)
		got, err := read(after, "f")
		if err != nil {
			if _, e := after.Stat("f"); e == nil || synced > 0 {
				t.Fatalf("after a power cut: %v, %d bytes were synced", err, synced)
			}
		}
		if !strings.HasPrefix(got, text[:synced]) || len(got) > len(text) {
			t.Fatalf("after a power cut: %d bytes, %d of %d were synced", len(got), synced, len(text))
		}
		if err := errors.Join(f.Close(), root.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
