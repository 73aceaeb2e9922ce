package delta

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Pack writes what r has, packed.
func Pack(w io.Writer, r io.Reader) error {
	z, err := packer(w)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, r)
	return errors.Join(err, z.Close())
}

// Unpack writes what was packed, of which there must be exactly length bytes. It
// holds the window and one chunk. Errors beside those of the package are those of
// w, r and ctx, wrapped.
func Unpack(ctx context.Context, w io.Writer, r io.Reader, length int64) error {
	u, err := newUnpacker(r)
	if err != nil {
		return err
	}
	defer u.Close()
	buf := make([]byte, chunk)
	for length > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := u.Read(buf)
		if int64(n) > length {
			return ErrLong
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		length -= int64(n)
		if err != nil && length > 0 {
			return u.why(err)
		}
	}
	return u.atEnd(u)
}

// An unpacker unpacks, in the goroutine that reads from it and with a window that
// is bounded.
type unpacker struct {
	*zstd.Decoder
	from *tracked
}

func newUnpacker(r io.Reader) (*unpacker, error) {
	from := &tracked{Reader: r}
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(Window), zstd.WithDecoderMaxMemory(Window))
	if err != nil {
		return nil, (&unpacker{from: from}).why(err)
	}
	return &unpacker{z, from}, nil
}

// why says what is wrong with what was unpacked. An error of where it came from
// stays what it is.
func (u *unpacker) why(err error) error {
	switch {
	case u.from.err != nil:
		return u.from.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrShort, io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: %w", ErrWindow, err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// atEnd reports whether nothing follows. What unpacks is read through r.
func (u *unpacker) atEnd(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	switch {
	case n > 0:
		return ErrTrailing
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, zstd.ErrMagicMismatch) && u.from.err == nil:
		return fmt.Errorf("%w: %w", ErrTrailing, err)
	}
	return u.why(err)
}

// tracked remembers with what error, other than its end, reading ended.
type tracked struct {
	io.Reader
	err error
}

func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}
