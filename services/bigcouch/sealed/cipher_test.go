package sealed

import (
	"crypto/cipher"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20"
)

// BenchmarkCipher compares the cipher of the text with the other candidate, by
// the sizes that Pebble reads and writes: a log record, a block, a buffer.
func BenchmarkCipher(b *testing.B) {
	k, err := parseKey(fmt.Appendf(nil, "%064x", 1))
	if err != nil {
		b.Fatal(err)
	}
	_, s := newHeader(k)
	ciphers := []struct {
		name string
		at   func(offset int64) cipher.Stream
	}{
		{"AES-CTR", s.at},
		{"XChaCha20", func(offset int64) cipher.Stream {
			c, err := chacha20.NewUnauthenticatedCipher(make([]byte, 32), make([]byte, 24))
			if err != nil {
				b.Fatal(err)
			}
			c.SetCounter(uint32(offset / 64))
			return c
		}},
	}
	for _, size := range []int{1 << 10, 4 << 10, 32 << 10, 64 << 10} {
		for _, c := range ciphers {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				text := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					c.at(1<<20).XORKeyStream(text, text)
				}
			})
		}
	}
}
