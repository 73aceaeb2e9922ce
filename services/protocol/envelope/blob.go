package envelope

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// chunkLen is the length of the plain text of all chunks of a blob but the
// last, bytes.
const chunkLen = 1 << 20

// MaxBlob is the limit of the body of a blob, bytes.
const MaxBlob = 40 << 20

// prefixLen is the length of what chunks take of the head's nonce. The rest
// of it is zero: no byte of a blob can be changed without being noticed.
const prefixLen = nonceLen - 5

// SealBlob seals a blob of at most MaxBlob bytes. ad.Database is the blob's
// namespace, ad.ID its BlobID.
func SealBlob(k EpochKey, ad AD, body []byte, rand io.Reader) ([]byte, error) {
	if len(body) > MaxBlob {
		return nil, fmt.Errorf("sealing blob %s: %w", ad.ID, ErrLimit)
	}
	size := padmé(8 + len(body))
	chunks := (size + chunkLen - 1) / chunkLen
	out := make([]byte, headLen, headLen+size+chunks*tagLen)
	s, err := newSeal(out, k, ad.ID, ad.fields("blob"), rand)
	if err != nil {
		return nil, err
	}
	clear(out[headLen-nonceLen+prefixLen:])
	plain := make([]byte, size)
	binary.BigEndian.PutUint64(plain, uint64(len(body)))
	copy(plain[8:], body)
	err = s.chunks(out[:headLen], plain, chunkLen, func(a cipher.AEAD, nonce, chunk []byte) error {
		out = a.Seal(out, nonce, chunk, s.ad)
		return nil
	})
	return out, err
}

// OpenBlob opens what SealBlob made under one of keys and for exactly ad. The
// error is ErrFormat, ErrEpoch or ErrForged.
func OpenBlob(data []byte, keys func(epoch uint32) (key LD1Key, ok bool), ad AD) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("opening blob %s: %w", ad.ID, err) }
	if len(data) < headLen+minPadded+tagLen || !allZero(data[headLen-nonceLen+prefixLen:headLen]) {
		return fail(ErrFormat)
	}
	s, err := openSeal(data, keys, ad.ID, ad.fields("blob"))
	if err != nil {
		return fail(err)
	}
	plain := make([]byte, 0, len(data))
	err = s.chunks(data[:headLen], data[headLen:], chunkLen+tagLen, func(a cipher.AEAD, nonce, chunk []byte) (err error) {
		plain, err = a.Open(plain, nonce, chunk, s.ad)
		return err
	})
	if err != nil {
		return fail(ErrForged)
	}
	n := binary.BigEndian.Uint64(plain)
	if n > MaxBlob || int(n) > len(plain)-8 || len(plain) != padmé(8+int(n)) || !allZero(plain[8+n:]) {
		return fail(errHeader)
	}
	return plain[8 : 8+n : 8+n], nil
}

// chunks calls f for each piece of b, at most n bytes long, with the nonce of
// its place: moved, dropped or added chunks do not open.
func (s *seal) chunks(head, b []byte, n int, f func(a cipher.AEAD, nonce, chunk []byte) error) error {
	for i := 0; len(b) > 0; i++ {
		var nonce [nonceLen]byte
		copy(nonce[:prefixLen], head[headLen-nonceLen:])
		binary.BigEndian.PutUint32(nonce[prefixLen:], uint32(i))
		if len(b) <= n {
			nonce[23] = 1
		}
		if err := s.rekey(nonce[:]); err != nil {
			return err
		}
		chunk := b[:min(n, len(b))]
		if err := f(s.aead, s.nonce, chunk); err != nil {
			return err
		}
		b = b[len(chunk):]
	}
	return nil
}
