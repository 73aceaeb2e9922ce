package backup

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// ReadHeader reads the header of a backup, and leaves r behind it.
func ReadHeader(r *bufio.Reader) (h Header, err error) {
	first, err := line(r)
	if err != nil {
		return h, err
	}
	number, ok := strings.CutPrefix(first, magic)
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return h, fmt.Errorf("%w: its first line is of something else", ErrMalformed)
	}
	if n != Version {
		return h, fmt.Errorf("%w: %d, this program has %d", ErrVersion, n, Version)
	}
	second, err := line(r)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal([]byte(second), &h); err != nil || h.Node == "" || h.Time.IsZero() {
		return h, fmt.Errorf("%w: malformed header", ErrMalformed)
	}
	return h, nil
}

func line(r *bufio.Reader) (string, error) {
	var text []byte
	for len(text) < maxLine {
		c, err := r.ReadByte()
		if err != nil {
			return "", fmt.Errorf("%w: it ends in its header", errors.Join(ErrMalformed, notEOF(err)))
		}
		if c == '\n' {
			return string(text), nil
		}
		text = append(text, c)
	}
	return "", fmt.Errorf("%w: no header", ErrMalformed)
}

// notEOF drops the error that is the end of the input.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// A Reader reads one backup.
type Reader struct {
	Manifest Manifest
	zstd     *zstd.Decoder
	r        *bufio.Reader
	sizes    []int64 // Of the shards that were read.
}

// NewReader opens a backup with an identity. The caller closes the reader, not r.
func NewReader(r io.Reader, with []age.Identity) (*Reader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	h, err := ReadHeader(br)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(br, with...)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, ErrIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	d := &Reader{}
	d.zstd, err = zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxFrame), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	d.r = bufio.NewReaderSize(d.zstd, 64<<10)
	if err = d.json(&d.Manifest); err == nil {
		err = d.Manifest.check(h)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// check reports what is wrong with the manifest of a backup with header h.
func (m Manifest) check(h Header) error {
	if m.Node != h.Node || !m.Time.Equal(h.Time) {
		return fmt.Errorf("%w: its header is not its own", ErrMalformed)
	}
	for i, s := range m.Shards {
		if int(s.Shard) >= m.Total || i > 0 && s.Shard <= m.Shards[i-1].Shard {
			return fmt.Errorf("%w: malformed manifest", ErrMalformed)
		}
	}
	if len(m.Shards) == 0 || m.Total < 2 || m.Total > 1<<16 {
		return fmt.Errorf("%w: malformed manifest", ErrMalformed)
	}
	return nil
}

func (d *Reader) json(v any) error {
	p := &part{r: d.r}
	data, err := io.ReadAll(io.LimitReader(p, maxPart))
	if err == nil && (!p.ended || json.Unmarshal(data, v) != nil) {
		err = fmt.Errorf("%w: malformed manifest", ErrMalformed)
	}
	return err
}

// A part reads the blocks of one part.
type part struct {
	r     *bufio.Reader
	left  int // Of the block.
	n     int64
	ended bool
}

func (p *part) Read(b []byte) (int, error) {
	if p.left == 0 && !p.ended {
		var size [4]byte
		if _, err := io.ReadFull(p.r, size[:]); err != nil {
			return 0, broken(err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > maxBlock {
			return 0, fmt.Errorf("%w: a block of %d bytes", ErrMalformed, n)
		}
		p.left, p.ended = int(n), n == 0
	}
	if p.ended {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(len(b), p.left)])
	p.left -= n
	p.n += int64(n)
	if err != nil {
		err = broken(err)
	}
	return n, err
}

// broken is the error of a stream that cannot be read on.
func broken(err error) error {
	if notEOF(err) == nil {
		return fmt.Errorf("%w: it ends too soon", ErrMalformed)
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// Shards calls f for each shard in order, with what is in it. What f leaves is
// read over. Then it returns the sums that the shards must come to: what was
// read counts only if they do.
func (d *Reader) Shards(f func(s Shard, r io.Reader) error) ([]Sum, error) {
	for _, s := range d.Manifest.Shards {
		p := &part{r: d.r}
		if err := f(s, p); err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, p); err != nil {
			return nil, err
		}
		d.sizes = append(d.sizes, p.n)
	}
	var sums []Sum
	if err := d.json(&sums); err != nil {
		return nil, err
	}
	if n, err := io.Copy(io.Discard, d.r); err != nil || n > 0 {
		return nil, fmt.Errorf("%w: it does not end where it should", errors.Join(ErrMalformed, err))
	}
	for i, s := range d.Manifest.Shards {
		if i >= len(sums) || sums[i].Shard != s.Shard || sums[i].Bytes != d.sizes[i] {
			return nil, fmt.Errorf("%w: shard %d is not as large as it was", ErrMalformed, s.Shard)
		}
	}
	return sums, nil
}

// Close frees what the reader holds.
func (d *Reader) Close() { d.zstd.Close() }
