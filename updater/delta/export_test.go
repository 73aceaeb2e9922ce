package delta

import (
	"bytes"

	"github.com/klauspost/compress/zstd"
)

// Suffixes is the suffix array of a text.
func Suffixes(text []byte) []int32 { return suffixes(text) }

// Longest is the longest match of the beginning of p in a text.
func Longest(text, p []byte) (pos, n int) { return newIndex(text).longest(p) }

// Raw is a delta with these records, as they are.
func Raw(h Header, records []byte, options ...zstd.EOption) []byte {
	var b bytes.Buffer
	b.Write(h.encode())
	z, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true)}, options...)...)
	if err != nil {
		panic(err) // The options of tests are right.
	}
	_, _ = z.Write(records)
	_ = z.Close()
	return b.Bytes()
}
