package delta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// MaxFile is how long a file may be of which Build makes a delta, in bytes: twice
// the longest release.
const MaxFile = 256 << 20

// Window is how far back what is packed refers, in bytes: what Apply and Unpack
// have to hold.
const Window = 8 << 20

// maxDigits is how many digits that are not zero are together.
const maxDigits = 1 << 14

// Build writes the delta that leads from old to new. Progress, if not nil, is told
// how much of new is done. Errors: those of w and ctx, ErrTooLarge.
func Build(ctx context.Context, w io.Writer, old, new []byte, progress func(done, total int64)) error {
	if len(old) > MaxFile || len(new) > MaxFile {
		return fmt.Errorf("%w: %d and %d bytes, at most %d", ErrTooLarge, len(old), len(new), int64(MaxFile))
	}
	h := Header{sha256.Sum256(old), int64(len(old)), sha256.Sum256(new), int64(len(new))}
	if _, err := w.Write(h.encode()); err != nil {
		return err
	}
	z, err := packer(w)
	if err != nil {
		return err
	}
	b := &builder{old: old, new: new, to: z}
	d := &differ{old, new, newIndex(old)}
	err = d.records(ctx, func(at int, r record) error {
		if progress != nil {
			progress(int64(at), h.NewLength)
		}
		return b.write(at, r)
	})
	if err != nil {
		_ = z.Close() // What it writes is worth nothing.
		return err
	}
	return z.Close()
}

// packer returns what packs, always in the same way: one goroutine, one level.
func packer(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(Window), zstd.WithZeroFrames(true))
}

// A builder writes records.
type builder struct {
	old, new []byte
	to       io.Writer
	pos      int    // Where the last copy ended.
	buf      []byte // Of a record's head and gaps.
	digits   []byte
}

// write writes the record that makes the new file from at on.
func (b *builder) write(at int, r record) error {
	b.buf = binary.AppendVarint(b.buf[:0], int64(r.from-b.pos))
	b.buf = binary.AppendUvarint(b.buf, uint64(r.copied))
	b.buf = binary.AppendUvarint(b.buf, uint64(r.extra))
	b.pos = r.from + r.copied
	if _, err := b.to.Write(b.buf); err != nil {
		return err
	}
	c := 0
	for n := 0; n < r.copied; {
		var err error
		if n, c, err = b.block(at, r, n, c); err != nil {
			return err
		}
	}
	_, err := b.to.Write(b.new[at+r.copied : at+r.copied+r.extra])
	return err
}

// block writes the digits from the nth one on, until there are none or maxDigits that
// are not zero. It returns which one is the next, and the carry for it.
func (b *builder) block(at int, r record, n, carry int) (next, c int, err error) {
	b.buf, b.digits = b.buf[:0], b.digits[:0]
	for gap := 0; n < r.copied && len(b.digits) < maxDigits; n++ {
		sum := int(b.new[at+n]) - int(b.old[r.from+n]) + carry
		digit := int(int8(sum)) // The one from -128 to 127 that is equal modulo 256.
		carry = (sum - digit) / 256
		if digit == 0 {
			gap++
			continue
		}
		b.buf, b.digits = binary.AppendUvarint(b.buf, uint64(gap)), append(b.digits, byte(digit))
		gap = 0
	}
	for _, part := range [][]byte{binary.AppendUvarint(nil, uint64(len(b.digits))), b.buf, b.digits} {
		if _, err := b.to.Write(part); err != nil {
			return 0, 0, err
		}
	}
	return n, carry, nil
}
