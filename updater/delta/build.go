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
	b := &builder{old: old, new: new, to: z, buf: make([]byte, 0, chunk)}
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
	pos      int // Where the last copy ended.
	buf      []byte
}

// write writes the record that makes the new file from at on.
func (b *builder) write(at int, r record) error {
	head := binary.AppendVarint(b.buf[:0], int64(r.from-b.pos))
	head = binary.AppendUvarint(head, uint64(r.copied))
	head = binary.AppendUvarint(head, uint64(r.extra))
	if _, err := b.to.Write(head); err != nil {
		return err
	}
	b.pos = r.from + r.copied
	for n := 0; n < r.copied; {
		part := b.buf[:min(chunk, r.copied-n)]
		for i := range part {
			part[i] = b.new[at+n+i] - b.old[r.from+n+i]
		}
		if _, err := b.to.Write(part); err != nil {
			return err
		}
		n += len(part)
	}
	_, err := b.to.Write(b.new[at+r.copied : at+r.copied+r.extra])
	return err
}
