package delta_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leap.example/updater/delta"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func header(old, new []byte) delta.Header {
	return delta.Header{Old: sha256.Sum256(old), OldLength: int64(len(old)), New: sha256.Sum256(new), NewLength: int64(len(new))}
}

func build(t testing.TB, old, new []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, delta.Build(t.Context(), &b, old, new, nil))
	return b.Bytes()
}

func apply(t testing.TB, old, patch []byte, want delta.Header) ([]byte, error) {
	t.Helper()
	var b bytes.Buffer
	err := delta.Apply(t.Context(), &b, bytes.NewReader(old), bytes.NewReader(patch), want)
	return b.Bytes(), err
}

// text draws a text of few letters, that repeats itself.
func text(t *rapid.T, name string) []byte {
	letters := rapid.IntRange(1, 4).Draw(t, "letters")
	return []byte(strings.Repeat(rapid.StringOfN(rapid.RuneFrom([]rune("abcd")[:letters]), 0, 60, -1).Draw(t, name), rapid.IntRange(1, 5).Draw(t, "times")))
}

func TestSuffixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := text(t, "text")
		var want []int32
		for i := range s {
			want = append(want, int32(i))
		}
		slices.SortFunc(want, func(a, b int32) int { return bytes.Compare(s[a:], s[b:]) })
		if got := delta.Suffixes(s); !slices.Equal(got, want) {
			t.Fatalf("the suffixes of %q are %v, want %v", s, got, want)
		}
	})
}

func TestLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := text(t, "text"), text(t, "pattern")
		pos, n := delta.Longest(s, p)
		if pos+n > len(s) || n > len(p) || !bytes.Equal(s[pos:pos+n], p[:n]) {
			t.Fatalf("%q has not the first %d of %q at %d", s, n, p, pos)
		}
		if n < len(p) && (n >= 2 || len(p) >= 2) && bytes.Contains(s, p[:max(n, 1)+1]) {
			t.Fatalf("%q has more than %d of %q", s, n, p)
		}
	})
}

// program is like one: words that refer to places behind and before, in a moved
// part too.
func program(seed uint64, words int, moved uint32) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []byte
	for i := range words {
		w := r.Uint32N(1 << 20)
		if w%3 == 0 && i > words/3 {
			w += moved
		}
		out = append(out, byte(w), byte(w>>8), byte(w>>16), 0)
		if moved > 0 && i == words/3 {
			out = append(out, make([]byte, moved)...)
		}
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := text(rt, "old")
		fresh := slices.Clone(old)
		for range rapid.IntRange(0, 6).Draw(rt, "edits") {
			at := rapid.IntRange(0, len(fresh)).Draw(rt, "at")
			to := rapid.IntRange(at, len(fresh)).Draw(rt, "to")
			fresh = slices.Replace(fresh, at, to, text(rt, "put")...)
		}
		got, err := apply(t, old, build(t, old, fresh), header(old, fresh))
		if err != nil || !bytes.Equal(got, fresh) {
			rt.Fatalf("%q to %q: %q, %v", old, fresh, got, err)
		}
	})
	for name, pair := range map[string][2][]byte{
		"nothing": {nil, nil}, "from nothing": {nil, []byte("new")}, "to nothing": {[]byte("old"), nil},
		"zeros": {make([]byte, 300_000), make([]byte, 200_001)}, "same": {program(1, 50_000, 0), program(1, 50_000, 0)},
		"other": {program(1, 50_000, 0), program(2, 50_000, 0)}, "moved": {program(1, 50_000, 0), program(1, 50_000, 28)},
	} {
		patch := build(t, pair[0], pair[1])
		got, err := apply(t, pair[0], patch, header(pair[0], pair[1]))
		if err != nil || !bytes.Equal(got, pair[1]) {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes to %d by %d", name, len(pair[0]), len(pair[1]), len(patch))
	}
}

// TestSmall expects that a change of all addresses costs little.
func TestSmall(t *testing.T) {
	old, fresh := program(7, 200_000, 0), program(7, 200_000, 28)
	var packed bytes.Buffer
	must(t, delta.Pack(&packed, bytes.NewReader(fresh)))
	if patch := build(t, old, fresh); len(patch)*30 > packed.Len() {
		t.Errorf("the delta has %d bytes, the whole %d", len(patch), packed.Len())
	} else {
		t.Logf("the delta has %d bytes, the whole %d", len(patch), packed.Len())
	}
}

// TestSameBytes holds the bytes of a delta and of a packed file: rebuilders make
// the same. Another version of the compressor may change them: then releases are
// made with the one version that all signers have.
func TestSameBytes(t *testing.T) {
	old, fresh := program(7, 60_000, 0), program(7, 60_000, 28)
	var packed bytes.Buffer
	must(t, delta.Pack(&packed, pieces{bytes.NewReader(fresh)}))
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"delta":  {build(t, old, fresh), "7f883e082c9bfeeb21adb86379f1281cb7791d8309f519db02b01d055b4c0544"},
		"packed": {packed.Bytes(), "722db1075984219c685e3797ab0efbf1f226fb48fe93012d4110eaef006ed865"},
	} {
		sum := sha256.Sum256(c.got)
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// pieces reads as a file that comes in odd pieces.
type pieces struct{ r io.Reader }

func (i pieces) Read(b []byte) (int, error) { return i.r.Read(b[:min(len(b), 777)]) }

// TestMemory applies a delta between files of 48 MiB, and counts what is allocated.
func TestMemory(t *testing.T) {
	old := bytes.Repeat(program(3, 1<<18, 0), 48)
	fresh := bytes.Clone(old)
	fresh[len(fresh)/2+3]++
	// By hand: making it takes long.
	records := slices.Concat([]byte{0}, uvarint(len(old)), []byte{0, 1}, uvarint(len(old)/2+3), []byte{1})
	patch := delta.Raw(header(old, fresh), records)
	h := header(old, fresh)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, delta.Apply(t.Context(), io.Discard, bytes.NewReader(old), bytes.NewReader(patch), h))
	runtime.ReadMemStats(&after)
	n := after.TotalAlloc - before.TotalAlloc
	if t.Logf("48 MiB with %d KiB allocated in all", n>>10); n > 16<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	old, fresh := program(1, 5000, 0), program(1, 5000, 28)
	if err := delta.Build(ctx, io.Discard, old, fresh, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("build: %v", err)
	}
	if err := delta.Apply(ctx, io.Discard, bytes.NewReader(old), bytes.NewReader(build(t, old, fresh)), header(old, fresh)); !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v", err)
	}
	var packed bytes.Buffer
	must(t, delta.Pack(&packed, bytes.NewReader(fresh)))
	if err := delta.Unpack(ctx, io.Discard, &packed, int64(len(fresh))); !errors.Is(err, context.Canceled) {
		t.Errorf("unpack: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	if err := delta.Build(t.Context(), io.Discard, nil, make([]byte, delta.MaxFile+1), nil); !errors.Is(err, delta.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}
