package delta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"leap.example/updater/delta"
)

func uvarint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// one is a record.
func one(seek int64, copied, extra uint64, data ...byte) []byte {
	b := binary.AppendVarint(nil, seek)
	b = binary.AppendUvarint(binary.AppendUvarint(b, copied), extra)
	return append(b, data...)
}

// TestRefuses expects its own error for each way in which a delta can be wrong,
// and that nothing is written beyond the length of the new file.
func TestRefuses(t *testing.T) {
	old, fresh := []byte("the old file, of 30 bytes, is."), []byte("0123456789")
	h := header(old, fresh)
	good := one(0, 0, 10, fresh...)
	other := h
	other.New[0]++
	long := h
	long.NewLength = math.MinInt64
	frame := delta.Raw(h, good)
	for name, test := range map[string]struct {
		patch []byte
		want  error
	}{
		"good":                      {frame, nil},
		"nothing":                   {nil, delta.ErrShort},
		"half a header":             {frame[:40], delta.ErrShort},
		"only a header":             {frame[:88], delta.ErrShort},
		"another magic":             {slices.Concat([]byte("BSDIFF40"), frame[8:]), delta.ErrFormat},
		"another base":              {delta.Raw(header(fresh, fresh), good), delta.ErrBase},
		"another length":            {delta.Raw(header(old, old), good), delta.ErrBase},
		"another result":            {delta.Raw(other, good), delta.ErrBase},
		"a negative length":         {delta.Raw(long, good), delta.ErrFormat},
		"no frame":                  {append(bytes.Clone(frame[:88]), "no frame of zstd"...), delta.ErrFormat},
		"cut in the frame":          {frame[:len(frame)-5], delta.ErrShort},
		"no records":                {delta.Raw(h, nil), delta.ErrShort},
		"ends in a record":          {delta.Raw(h, good[:5]), delta.ErrShort},
		"ends in a number":          {delta.Raw(h, []byte{0x80}), delta.ErrShort},
		"ends before a number":      {delta.Raw(h, []byte{0}), delta.ErrShort},
		"a number without end":      {delta.Raw(h, bytes.Repeat([]byte{0xff}, 40)), delta.ErrFormat},
		"a record of nothing":       {delta.Raw(h, bytes.Repeat([]byte{0}, 1<<20)), delta.ErrFormat},
		"too much copied":           {delta.Raw(h, one(0, 11, 0, make([]byte, 11)...)), delta.ErrLong},
		"too much extra":            {delta.Raw(h, one(0, 0, 11, make([]byte, 11)...)), delta.ErrLong},
		"too much in all":           {delta.Raw(h, one(0, 6, 6, make([]byte, 12)...)), delta.ErrLong},
		"a sum that overflows":      {delta.Raw(h, one(0, 5, math.MaxUint64-4, make([]byte, 5)...)), delta.ErrLong},
		"too much later":            {delta.Raw(h, slices.Concat(one(0, 0, 9, make([]byte, 9)...), one(0, 2, 0, 0, 0))), delta.ErrLong},
		"before the old file":       {delta.Raw(h, one(-1, 1, 0, 0)), delta.ErrSeek},
		"behind the old file":       {delta.Raw(h, one(31, 0, 1, 0)), delta.ErrSeek},
		"beyond its end":            {delta.Raw(h, one(25, 6, 0, make([]byte, 6)...)), delta.ErrSeek},
		"far before the old file":   {delta.Raw(h, one(math.MinInt64, 1, 0, 0)), delta.ErrSeek},
		"far behind, from a place":  {delta.Raw(h, slices.Concat(one(1, 1, 0, 0), one(math.MaxInt64, 1, 0, 0))), delta.ErrSeek},
		"another content":           {delta.Raw(h, one(0, 10, 0, 0)), delta.ErrResult},
		"too many digits":           {delta.Raw(h, one(0, 10, 0, uvarint(1<<14+1)...)), delta.ErrFormat},
		"a gap that is too wide":    {delta.Raw(h, one(0, 10, 0, 1, 10, 5)), delta.ErrLong},
		"gaps that are too wide":    {delta.Raw(h, one(0, 10, 0, 3, 4, 4, 0, 5, 5, 5)), delta.ErrLong},
		"a gap that overflows":      {delta.Raw(h, one(0, 10, 0, slices.Concat([]byte{2, 1}, binary.AppendUvarint(nil, math.MaxUint64), []byte{5, 5})...)), delta.ErrLong},
		"ends before digits":        {delta.Raw(h, one(0, 10, 0)), delta.ErrShort},
		"ends in gaps":              {delta.Raw(h, one(0, 10, 0, 3, 1)), delta.ErrShort},
		"ends in digits":            {delta.Raw(h, one(0, 10, 0, 2, 1, 1, 5)), delta.ErrShort},
		"digits and a wrong byte":   {delta.Raw(h, one(0, 10, 0, 2, 1, 1, 5, 5)), delta.ErrResult},
		"a record more":             {delta.Raw(h, append(bytes.Clone(good), one(0, 0, 1, 0)...)), delta.ErrTrailing},
		"a byte behind the frame":   {append(bytes.Clone(frame), 'x'), delta.ErrShort},
		"much behind the frame":     {append(bytes.Clone(frame), "something else"...), delta.ErrTrailing},
		"another frame":             {append(bytes.Clone(frame), delta.Raw(h, good)[88:]...), delta.ErrTrailing},
		"a bomb behind the frame":   {append(bytes.Clone(frame), delta.Raw(h, make([]byte, 64<<20))[88:]...), delta.ErrTrailing},
		"a window that is too wide": {delta.Raw(h, make([]byte, 40<<20), zstd.WithWindowSize(32<<20)), delta.ErrWindow},
	} {
		got, err := apply(t, old, test.patch, h)
		if !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if len(got) > len(fresh) {
			t.Errorf("%s: %d bytes were written", name, len(got))
		}
	}
}

// TestDamaged changes and cuts a delta at each place: it is refused, or the result
// is right.
func TestDamaged(t *testing.T) {
	old, fresh := program(1, 400, 0), program(1, 400, 28)
	h := header(old, fresh)
	patch := build(t, old, fresh)
	for i := range patch {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(patch)
			bad[i] ^= flip
			if got, err := apply(t, old, bad, h); err == nil && !bytes.Equal(got, fresh) {
				t.Fatalf("byte %d: something else comes out", i)
			}
		}
		if _, err := apply(t, old, patch[:i], h); !errors.Is(err, delta.ErrShort) {
			t.Fatalf("cut at %d of %d: %v", i, len(patch), err)
		}
	}
	// Another file in the place of the old one.
	if _, err := apply(t, fresh[:len(old)], patch, h); !errors.Is(err, delta.ErrResult) {
		t.Errorf("another old file: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenAt struct{}

func (brokenAt) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// TestTheirErrors expects that errors of the files come through, as they are.
func TestTheirErrors(t *testing.T) {
	old, fresh := program(1, 400, 0), program(1, 400, 28)
	h, patch := header(old, fresh), build(t, old, fresh)
	var packed bytes.Buffer
	must(t, delta.Pack(&packed, bytes.NewReader(fresh)))
	half := func(b []byte) io.Reader {
		return io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errBroken))
	}
	for name, err := range map[string]error{
		"old":       delta.Apply(t.Context(), io.Discard, brokenAt{}, bytes.NewReader(patch), h),
		"new":       delta.Apply(t.Context(), brokenWriter{}, bytes.NewReader(old), bytes.NewReader(patch), h),
		"patch":     delta.Apply(t.Context(), io.Discard, bytes.NewReader(old), half(patch), h),
		"header":    delta.Apply(t.Context(), io.Discard, bytes.NewReader(old), half(patch[:80]), h),
		"packed":    delta.Unpack(t.Context(), io.Discard, half(packed.Bytes()), h.NewLength),
		"unpacked":  delta.Unpack(t.Context(), brokenWriter{}, bytes.NewReader(packed.Bytes()), h.NewLength),
		"to pack":   delta.Pack(io.Discard, half(fresh)),
		"into pack": delta.Pack(brokenWriter{}, bytes.NewReader(fresh)),
		"to build":  delta.Build(t.Context(), brokenWriter{}, old, fresh, nil),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpack(t *testing.T) {
	data := program(1, 100_000, 0)
	n := int64(len(data))
	var b bytes.Buffer
	must(t, delta.Pack(&b, bytes.NewReader(data)))
	packed := b.Bytes()
	bomb := delta.Raw(delta.Header{}, make([]byte, 64<<20))[88:]
	wide := delta.Raw(delta.Header{}, make([]byte, 40<<20), zstd.WithWindowSize(32<<20))[88:]
	for name, test := range map[string]struct {
		packed []byte
		length int64
		want   error
	}{
		"good":               {packed, n, nil},
		"nothing":            {nil, n, delta.ErrShort},
		"cut":                {packed[:len(packed)/2], n, delta.ErrShort},
		"without its end":    {packed[:len(packed)-2], n, delta.ErrShort},
		"too long":           {packed, n - 1, delta.ErrLong},
		"too long, by a lot": {packed, n - 100_000, delta.ErrLong},
		"too short":          {packed, n + 1, delta.ErrShort},
		"a bomb":             {bomb, n, delta.ErrLong},
		"a wide window":      {wide, 40 << 20, delta.ErrWindow},
		"no zstd":            {data, n, delta.ErrFormat},
		"something behind":   {append(bytes.Clone(packed), "and more"...), n, delta.ErrTrailing},
	} {
		var out bytes.Buffer
		err := delta.Unpack(t.Context(), &out, bytes.NewReader(test.packed), test.length)
		if !errors.Is(err, test.want) || test.want == nil && !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if int64(out.Len()) > test.length {
			t.Errorf("%s: %d bytes were written", name, out.Len())
		}
	}
}
