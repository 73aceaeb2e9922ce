package delta_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"leap.example/updater/delta"
)

// FuzzApply has the patcher make a file from any records: it makes no more than it
// should, reads nothing beside the old file, and what it calls right is right.
func FuzzApply(f *testing.F) {
	old, fresh := program(1, 300, 0), program(1, 300, 28)
	patch := build(f, old, fresh)
	f.Add(patch, true)
	f.Add(patch[:len(patch)/2], true)
	f.Add(slices.Concat(one(40, 100, 3, 2, 5, 9, 200, 7, 'a', 'b', 'c'), one(-20, 7, 0, 0)), false)
	h := header(old, fresh)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		if !whole {
			data = delta.Raw(h, data)
		}
		var out bytes.Buffer
		err := delta.Apply(t.Context(), &out, guarded{t, old}, bytes.NewReader(data), h)
		if out.Len() > len(fresh) || err == nil && !bytes.Equal(out.Bytes(), fresh) {
			t.Fatalf("%d bytes come out: %v", out.Len(), err)
		}
	})
}

// guarded is a file in which nobody reads beside.
type guarded struct {
	t    *testing.T
	data []byte
}

func (g guarded) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(g.data)) {
		g.t.Fatalf("%d bytes at %d of %d are read", len(b), at, len(g.data))
	}
	return copy(b, g.data[at:]), nil
}

// FuzzBuild expects that any two files have a delta that leads from one to the other.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("an old file, an old file"), []byte("a new file, an old file"))
	f.Add(make([]byte, 300), make([]byte, 200))
	f.Fuzz(func(t *testing.T, old, fresh []byte) {
		if got, err := apply(t, old, build(t, old, fresh), header(old, fresh)); err != nil || !bytes.Equal(got, fresh) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	})
}

// FuzzUnpack expects no more bytes than there should be.
func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	must(f, delta.Pack(&b, bytes.NewReader(program(1, 300, 0))))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		if err := delta.Unpack(t.Context(), io.MultiWriter(&out), bytes.NewReader(data), 1200); out.Len() > 1200 || err == nil && out.Len() != 1200 {
			t.Fatalf("%d bytes come out: %v", out.Len(), err)
		}
	})
}
