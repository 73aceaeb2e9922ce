package delta

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// magic begins every delta of this format.
const magic = "LEAPBSZ1"

// headerSize is the length of a header, in bytes.
const headerSize = len(magic) + 2*(sha256.Size+8)

// A Header says between which files a delta is.
type Header struct {
	Old       [sha256.Size]byte
	OldLength int64 // Bytes.
	New       [sha256.Size]byte
	NewLength int64
}

func (h Header) encode() []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = binary.LittleEndian.AppendUint64(append(b, h.Old[:]...), uint64(h.OldLength))
	return binary.LittleEndian.AppendUint64(append(b, h.New[:]...), uint64(h.NewLength))
}

// readHeader reads the beginning of a delta.
func readHeader(r io.Reader) (h Header, err error) {
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return h, fmt.Errorf("%w: it has no header", ErrShort)
		}
		return h, err
	}
	if string(b[:len(magic)]) != magic {
		return h, fmt.Errorf("%w: it does not begin with %s", ErrFormat, magic)
	}
	b = b[len(magic):]
	copy(h.Old[:], b)
	copy(h.New[:], b[sha256.Size+8:])
	h.OldLength = int64(binary.LittleEndian.Uint64(b[sha256.Size:]))
	h.NewLength = int64(binary.LittleEndian.Uint64(b[2*sha256.Size+8:]))
	if h.OldLength < 0 || h.NewLength < 0 {
		return h, fmt.Errorf("%w: a length is negative", ErrFormat)
	}
	return h, nil
}
