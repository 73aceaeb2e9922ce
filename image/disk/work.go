package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// chunk is what is written or read at a time.
const chunk = 1 << 20

// A work writes, reads and counts.
type work struct {
	progress Progress
	done     int64
	total    int64
}

func newWork(progress Progress) *work {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &work{progress: progress}
}

// advance counts n bytes more. The error is that of ctx.
func (w *work) advance(ctx context.Context, n int) error {
	w.done += int64(n)
	w.progress(w.done, w.total)
	return ctx.Err()
}

func (w *work) write(ctx context.Context, to io.WriterAt, data []byte, at int64) error {
	for len(data) > 0 {
		n := min(len(data), chunk)
		if _, err := to.WriteAt(data[:n], at); err != nil {
			return err
		}
		if err := w.advance(ctx, n); err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// copy writes [at, end) of from to the same place of to. Zeros are left out if
// sparse.
func (w *work) copy(ctx context.Context, to io.WriterAt, from io.ReaderAt, at, end int64, sparse bool) error {
	buffer, zeros := make([]byte, chunk), make([]byte, chunk)
	for at < end {
		b := buffer[:min(chunk, end-at)]
		if _, err := from.ReadAt(b, at); err != nil {
			return fmt.Errorf("reading the image: %w", err)
		}
		if !sparse || !bytes.Equal(b, zeros[:len(b)]) {
			if _, err := to.WriteAt(b, at); err != nil {
				return err
			}
		}
		if err := w.advance(ctx, len(b)); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

// compare holds that [at, end) is the same in both.
func (w *work) compare(ctx context.Context, got, want io.ReaderAt, at, end int64) error {
	a, b := make([]byte, chunk), make([]byte, chunk)
	for at < end {
		n := min(chunk, end-at)
		if _, err := want.ReadAt(a[:n], at); err != nil {
			return fmt.Errorf("reading the image: %w", err)
		}
		if _, err := got.ReadAt(b[:n], at); err != nil {
			return fmt.Errorf("reading back: %w", err)
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return fmt.Errorf("what was written at MiB %d reads back as something else: the disk is bad", at>>20)
		}
		if err := w.advance(ctx, int(n)); err != nil {
			return err
		}
		at += n
	}
	return nil
}
