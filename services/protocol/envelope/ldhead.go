package envelope

import (
	"encoding/binary"
	"slices"
)

const (
	flagDeleted = 1 << iota
	flagBlob
)

// size returns the length of the encoded header.
func (h DocHeader) size() int {
	return 1 + 2 + len(h.Type) + 2 + len(h.LocalID) + 2 + len(h.Dev) + 8 + 1 + 32*len(h.Prev) + 4
}

// append appends the header of a document whose body has n bytes.
func (h DocHeader) append(b []byte, n int) []byte {
	flags := byte(0)
	if h.Deleted {
		flags |= flagDeleted
	}
	if h.Blob {
		flags |= flagBlob
	}
	b = append(b, flags)
	for _, s := range []string{h.Type, h.LocalID, h.Dev} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(h.Gen))
	b = append(b, byte(len(h.Prev)))
	for _, p := range h.Prev {
		b = append(b, p[:]...)
	}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// parsePlain parses what append and padding made; any other form is an error.
// The body is part of plain.
func parsePlain(plain []byte) (DocHeader, []byte, error) {
	c := cutter{b: plain}
	var h DocHeader
	flags := c.cut(1)
	h.Type = string(c.cut(int(c.uint(2))))
	h.LocalID = string(c.cut(int(c.uint(2))))
	h.Dev = string(c.cut(int(c.uint(2))))
	gen := c.uint(8)
	for range c.uint(1) {
		h.Prev = append(h.Prev, [32]byte(c.cut(32)))
	}
	body := c.cut(int(c.uint(4)))
	if c.short || flags[0] > flagDeleted|flagBlob || gen > 1<<62 || len(h.Type) > maxType || len(h.LocalID) > maxLocal || len(h.Dev) > maxType ||
		len(body) > MaxBody || len(plain) != padmé(len(plain)-len(c.b)) || !allZero(c.b) {
		return DocHeader{}, nil, errHeader
	}
	h.Deleted, h.Blob, h.Gen = flags[0]&flagDeleted != 0, flags[0]&flagBlob != 0, int(gen)
	return h, slices.Clip(body), nil
}

// A cutter takes fields off the front of b. After it ran short all fields are
// zero, so that one check at the end is enough.
type cutter struct {
	b     []byte
	short bool
}

func (c *cutter) cut(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short, c.b = true, nil
		return make([]byte, min(max(n, 0), 32))
	}
	f := c.b[:n]
	c.b = c.b[n:]
	return f
}

func (c *cutter) uint(n int) uint64 {
	v := uint64(0)
	for _, d := range c.cut(n) {
		v = v<<8 | uint64(d)
	}
	return v
}
