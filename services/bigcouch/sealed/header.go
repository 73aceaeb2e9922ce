package sealed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The parts of a header.
const (
	magic      = "LEAPSEA\x01" // The last byte is the version.
	idEnd      = 16
	saltEnd    = 40
	macEnd     = 56
	headerSize = 64
)

// A header is what a file begins with.
type header struct {
	id   KeyID
	salt [saltEnd - idEnd]byte
	mac  [macEnd - saltEnd]byte
}

// encode returns the header's one form.
func (h *header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, h.id[:]...)
	b = append(b, h.salt[:]...)
	b = append(b, h.mac[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:headerSize-macEnd]...)
}

// parseHeader reads a header. Its error is ErrDamaged, or ErrPlain if the
// bytes do not look like one at all.
func parseHeader(b []byte) (*header, error) {
	var h header
	if len(b) < headerSize {
		return nil, ErrPlain
	}
	copy(h.id[:], b[len(magic):])
	copy(h.salt[:], b[idEnd:])
	copy(h.mac[:], b[saltEnd:])
	switch {
	case bytes.Equal(h.encode(), b[:headerSize]):
		return &h, nil
	case bytes.HasPrefix(b, []byte(magic)), bytes.Equal(h.encode()[macEnd:], b[macEnd:headerSize]):
		return nil, ErrDamaged // The magic or the rest is as we write it.
	case len(bytes.Trim(b[:headerSize], "\x00")) == 0:
		return nil, ErrDamaged // No file of Pebble begins so. The sector is lost.
	}
	return nil, ErrPlain
}

// torn reports whether a file of these bytes is one whose header did not reach
// the disk: no text was written to it.
func torn(b []byte) bool {
	n := min(len(b), len(magic))
	return len(b) <= headerSize && (string(b[:n]) == magic[:n] || len(bytes.Trim(b, "\x00")) == 0)
}

// newHeader returns a header that no other file has, and its keystream.
func newHeader(k *key) (*header, *keystream) {
	h := &header{id: k.id}
	rand.Read(h.salt[:]) // Never fails.
	s, mac := h.derive(k)
	h.mac = mac
	return h, s
}

// open returns the keystream of the file that h is the header of.
func (k *Keys) open(h *header) (*keystream, error) {
	of := k.all[h.id]
	if of == nil {
		return nil, fmt.Errorf("%w: it is sealed under the key %v: add the file of that key to key_files", ErrKey, h.id)
	}
	s, mac := h.derive(of)
	if !hmac.Equal(mac[:], h.mac[:]) {
		return nil, fmt.Errorf("forged: %w", ErrDamaged)
	}
	return s, nil
}

// derive returns what follows from a key and the header's salt.
func (h *header) derive(k *key) (*keystream, [macEnd - saltEnd]byte) {
	const keyEnd, counterEnd = 32, 32 + aes.BlockSize
	b := k.derive(h.salt[:], "leap bigcouch sealed: file", counterEnd+32)
	block, err := aes.NewCipher(b[:keyEnd])
	if err != nil {
		panic(err) // The key has the right size.
	}
	s := &keystream{
		id: k.id, block: block,
		hi: binary.BigEndian.Uint64(b[keyEnd:]), lo: binary.BigEndian.Uint64(b[keyEnd+8:]),
	}
	m := hmac.New(sha256.New, b[counterEnd:])
	m.Write([]byte(magic))
	m.Write(h.id[:])
	m.Write(h.salt[:])
	return s, [macEnd - saltEnd]byte(m.Sum(nil))
}

// A keystream is what the text of one file is XORed with. It may be used from
// any goroutine.
type keystream struct {
	id     KeyID
	block  cipher.Block
	hi, lo uint64 // The counter of the first block.
}

// at returns the keystream from an offset of the text on.
func (s *keystream) at(offset int64) cipher.Stream {
	var counter [aes.BlockSize]byte
	lo, carry := bits.Add64(s.lo, uint64(offset)/aes.BlockSize, 0)
	binary.BigEndian.PutUint64(counter[:8], s.hi+carry)
	binary.BigEndian.PutUint64(counter[8:], lo)
	c := cipher.NewCTR(s.block, counter[:])
	if skip := offset % aes.BlockSize; skip > 0 {
		c.XORKeyStream(counter[:skip], counter[:skip])
	}
	return c
}
