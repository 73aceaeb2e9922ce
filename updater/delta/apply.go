package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// chunk is how much of a file is in memory at a time.
const chunk = 64 << 10

// Apply makes the new file from the old one, and writes it from the front to the
// back. The delta has to be between the files that want names, or it is ErrBase;
// the caller has made sure that old is the one. Errors beside those of the package
// are those of w, old, patch and ctx, wrapped.
//
// It writes at most want.NewLength bytes; what it has written is right if it
// returns nil, and worth nothing else.
func Apply(ctx context.Context, w io.Writer, old io.ReaderAt, patch io.Reader, want Header) error {
	h, err := readHeader(patch)
	if err != nil {
		return err
	}
	if h != want {
		return fmt.Errorf("%w: from %.8x to %.8x, not from %.8x to %.8x", ErrBase, h.Old, h.New, want.Old, want.New)
	}
	u, err := newUnpacker(patch)
	if err != nil {
		return err
	}
	defer u.Close()
	sum := sha256.New()
	p := &patcher{
		ctx: ctx, unpacker: u, from: bufio.NewReaderSize(u, chunk), to: bufio.NewWriterSize(io.MultiWriter(w, sum), chunk),
		old: &oldFile{from: old, length: h.OldLength, buf: make([]byte, 0, chunk)}, left: h.NewLength,
	}
	for p.left > 0 {
		if err := p.record(); err != nil {
			return err
		}
	}
	if err := p.to.Flush(); err != nil {
		return err
	}
	if err := u.atEnd(p.from); err != nil {
		return err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != h.New {
		return ErrResult
	}
	return nil
}

// A patcher makes the new file, record by record.
type patcher struct {
	ctx      context.Context
	unpacker *unpacker
	from     *bufio.Reader // What is unpacked.
	to       *bufio.Writer
	old      *oldFile
	pos      int64 // Where the last copy ended.
	left     int64 // How much of the new file is missing.
	carry    int
	gaps     []int64
	digits   []byte
}

// record makes what one record says: one byte at least.
func (p *patcher) record() error {
	seek, err1 := binary.ReadVarint(p.from)
	copied, err2 := binary.ReadUvarint(p.from)
	extra, err3 := binary.ReadUvarint(p.from)
	if err := errors.Join(err1, err2, err3); err != nil {
		return p.unpacker.why(err)
	}
	left := uint64(p.left)
	switch {
	case copied > left || extra > left-copied:
		return ErrLong
	case copied+extra == 0:
		return fmt.Errorf("%w: a record makes nothing", ErrFormat)
	}
	// Neither sum overflows: both are within lengths that were checked.
	at := p.pos + seek
	if seek > 0 && at < p.pos || at < 0 || at > p.old.length || int64(copied) > p.old.length-at {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrSeek, copied, at, p.old.length)
	}
	p.left -= int64(copied + extra)
	p.pos, p.carry = at, 0
	for end := at + int64(copied); p.pos < end; {
		if err := p.block(end); err != nil {
			return err
		}
	}
	return p.extra(int64(extra))
}

// block makes what a block of digits says, of the old file from p.pos on, at most to
// end.
func (p *patcher) block(end int64) error {
	n, err := binary.ReadUvarint(p.from)
	if err != nil {
		return p.unpacker.why(err)
	}
	if n > maxDigits {
		return fmt.Errorf("%w: %d digits are together", ErrFormat, n)
	}
	p.gaps, p.digits = p.gaps[:0], slices.Grow(p.digits[:0], int(n))[:n]
	for left := uint64(end - p.pos); len(p.gaps) < int(n); {
		gap, err := binary.ReadUvarint(p.from)
		if err != nil {
			return p.unpacker.why(err)
		}
		if gap >= left {
			return ErrLong
		}
		left -= gap + 1
		p.gaps = append(p.gaps, int64(gap))
	}
	if _, err := io.ReadFull(p.from, p.digits); err != nil {
		return p.unpacker.why(err)
	}
	for i, gap := range p.gaps {
		if err := p.zeros(gap, end); err != nil {
			return err
		}
		old, err := p.read(end)
		if err == nil {
			err = p.digit(old[0], int(int8(p.digits[i])))
		}
		if err != nil {
			return err
		}
	}
	if n == maxDigits {
		return nil
	}
	return p.zeros(end-p.pos, end)
}

// read returns some of the old file from p.pos on, one byte at least.
func (p *patcher) read(end int64) ([]byte, error) {
	old, err := p.old.at(p.pos, end-p.pos)
	if err != nil {
		return nil, fmt.Errorf("reading the old file: %w", err)
	}
	return old, nil
}

// digit makes a byte.
func (p *patcher) digit(old byte, digit int) error {
	sum := digit + int(old) - p.carry
	p.carry = -(sum >> 8) // 1 below 0, -1 above 255.
	p.pos++
	return p.to.WriteByte(byte(sum))
}

// zeros makes n bytes whose digits are zero: without a carry they are the old ones.
func (p *patcher) zeros(n, end int64) error {
	for n > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		old, err := p.read(end)
		if err != nil {
			return err
		}
		if p.carry != 0 {
			err, n = p.digit(old[0], 0), n-1
		} else {
			old = old[:min(int64(len(old)), n)]
			_, err = p.to.Write(old)
			p.pos, n = p.pos+int64(len(old)), n-int64(len(old))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// extra passes n bytes on.
func (p *patcher) extra(n int64) error {
	for n > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		part, err := p.from.Peek(int(min(n, chunk)))
		if err != nil {
			return p.unpacker.why(err)
		}
		if _, err := p.to.Write(part); err != nil {
			return err
		}
		if _, err := p.from.Discard(len(part)); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

// An oldFile reads the old file in pieces, most of which lie beside each other.
type oldFile struct {
	from   io.ReaderAt
	length int64
	begin  int64  // Where in the file buf begins.
	buf    []byte // What was read last.
}

// page is how much of a file is read at least.
const page = 4 << 10

// at returns some of the n bytes at a place inside the file, one at least.
func (o *oldFile) at(pos, n int64) ([]byte, error) {
	if pos < o.begin || pos >= o.begin+int64(len(o.buf)) {
		// A short copy is often alone, so that reading on is in vain.
		part := o.buf[:min(int64(cap(o.buf)), max(n, page), o.length-pos)]
		o.buf = part[:0] // If it fails.
		if _, err := io.ReadFull(io.NewSectionReader(o.from, pos, int64(len(part))), part); err != nil {
			return nil, err
		}
		o.begin, o.buf = pos, part
	}
	b := o.buf[pos-o.begin:]
	return b[:min(int64(len(b)), n)], nil
}
