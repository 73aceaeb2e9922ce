package tufrepo

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// withHoles is a bundle of a file that is all hole, in a form of GNU: 1.0, or in two
// ways 0.x. archive/tar reads these, and does not write them.
func withHoles(t testing.TB, form string, size int) []byte {
	t.Helper()
	number := strconv.Itoa(size)
	var list []string
	var data []byte
	switch form {
	case "1.0":
		list = []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=vendor/metadata/1.root.json", "GNU.sparse.realsize=" + number}
		data = make([]byte, 512)
		copy(data, "1\n"+number+"\n0\n")
	case "0.1":
		list = []string{"GNU.sparse.size=" + number, "GNU.sparse.numblocks=1", "GNU.sparse.name=vendor/metadata/1.root.json", "GNU.sparse.map=" + number + ",0"}
	default:
		list = []string{"GNU.sparse.size=" + number, "GNU.sparse.numblocks=1", "GNU.sparse.offset=" + number, "GNU.sparse.numbytes=0"}
	}
	var pax strings.Builder
	for _, r := range list {
		n := len(r) + 3 // With a space, the end of the line and its own digits.
		for len(strconv.Itoa(n))+len(r)+2 != n {
			n++
		}
		pax.WriteString(fmt.Sprintf("%d %s\n", n, r))
	}
	var out bytes.Buffer
	block := func(name string, kind byte, data []byte) {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00        ", len(data)))
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		total := 0
		for _, b := range h {
			total += int(b)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", total))
		out.Write(h)
		out.Write(data)
		out.Write(make([]byte, (512-len(data)%512)%512))
	}
	block("PaxHeaders/x", 'x', []byte(pax.String()))
	block("vendor/metadata/1.root.json", '0', data)
	out.Write(make([]byte, 1024))
	return out.Bytes()
}

// TestHoles: a small bundle with a file that is long, and all hole, is refused before
// anything is written.
func TestHoles(t *testing.T) {
	for _, form := range []string{"0.0", "0.1", "1.0"} {
		bomb := withHoles(t, form, 4_000_000)
		r := tar.NewReader(bytes.NewReader(bomb))
		h, err := r.Next()
		if err != nil || h.Typeflag != tar.TypeReg || h.Size != 4_000_000 {
			t.Fatalf("%s: it is no file with holes for archive/tar: %+v, %v", form, h, err)
		}
		dir := t.TempDir()
		if _, err := ReadBundle(t.Context(), bytes.NewReader(bomb), dir, DefaultBundle); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "holes") {
			t.Errorf("%s: %v", form, err)
		}
		if got := names(t, dir); len(got) > 0 {
			t.Errorf("%s: there is %v", form, got)
		}
	}
}
