package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// FuzzHeader: what is taken for a header is one, in its only form, and nobody
// without the key has made it.
func FuzzHeader(f *testing.F) {
	k, err := parseKey(fmt.Appendf(nil, "%064x", 1))
	if err != nil {
		f.Fatal(err)
	}
	keys := &Keys{current: k, all: map[KeyID]*key{k.id: k}}
	h := &header{id: k.id} // Each process that fuzzes has the same one.
	_, h.mac = h.derive(k)
	f.Add(h.encode())
	forged := *h
	forged.salt[3] ^= 1
	f.Add(forged.encode())
	f.Add(append(h.encode(), "text"...))
	f.Add([]byte(magic))
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		torn := torn(b)
		got, err := parseHeader(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrPlain) {
				t.Fatal(err)
			}
			return
		}
		if len(b) <= headerSize && !torn {
			t.Error("a header without text is not empty")
		}
		if !bytes.Equal(got.encode(), b[:headerSize]) {
			t.Errorf("%x is read as %x", b, got.encode())
		}
		if _, err := keys.open(got); err == nil && *got != *h {
			t.Errorf("forged: %x", b)
		}
	})
}
