package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"leap.example/services/protocol/u1db"
)

// Reasons for which LD1 content is not opened.
var (
	ErrFormat = errors.New("not LD1 content")                       // Another format, or not in its one encoding.
	ErrEpoch  = errors.New("sealed under an unknown key epoch")     // Newer keys are needed.
	ErrForged = errors.New("sealed content does not open: forged")  // Changed, swapped, replayed elsewhere, or another key.
	ErrLimit  = errors.New("content is beyond the limits of LD1")   // Of the sealing side alone.
	ErrRev    = errors.New("revision is not in its canonical form") // Refused before opening.
	errHeader = fmt.Errorf("inner form is not canonical: %w", ErrForged)
)

// A Suite is a way of sealing LD1.
type Suite uint8

// The suites. XChaCha is what we write: its nonce may simply be random.
const (
	XChaCha Suite = 1 // XChaCha20-Poly1305.
	AESGCM  Suite = 2 // AES-256-GCM under a key per message.
)

// LD1Key is a symmetric key of an account.
type LD1Key [32]byte

// An EpochKey is the key of one epoch of an account, to seal with.
type EpochKey struct {
	Epoch uint32
	Key   LD1Key
	Suite Suite // 0 is XChaCha.
}

// AD is what the reader knows about a document before opening it; the seal
// holds for these values alone.
type AD struct {
	User     string // The account's id.
	Database string // "user-<id>"; for a blob its namespace.
	ID       string // Of the document ("D-…") or the blob.
	Rev      string // Canonical text; not used for a blob.
}

// DocHeader is what stands before the body inside the seal.
type DocHeader struct {
	Type    string // Type of the document, at most 255 bytes.
	LocalID string // Its id on devices, at most 1024 bytes.
	Dev     string // Replica uid of the writer.
	Gen     int    // The writer's generation of this change.
	// Prev is the SHA-256 of the body of each version that this one replaces,
	// at most 255: none for a new document, more than one for a merge.
	Prev    [][32]byte
	Deleted bool
	Blob    bool // The body only names a blob, which holds the real one.
}

const (
	magic     = "LD1\x00"
	nonceLen  = 24
	headLen   = len(magic) + 1 + 4 + nonceLen
	tagLen    = 16
	maxType   = 255
	maxLocal  = 1024
	maxPrev   = 255
	immutable = "ImmutableRevision"

	contentOpen  = `{"ld1":"`
	contentClose = `"}`
)

// MaxBody is the limit of the body of a document, bytes; what is larger is a
// blob.
const MaxBody = 1 << 20

// SealDoc seals the body of a document, at most MaxBody bytes, and returns the
// document's content. The revision in ad must be canonical.
func SealDoc(k EpochKey, ad AD, h DocHeader, body []byte, rand io.Reader) (string, error) {
	if _, err := u1db.ParseRevision(ad.Rev); err != nil {
		return "", fmt.Errorf("sealing %s: %w", ad.ID, ErrRev)
	}
	if len(h.Type) > maxType || len(h.LocalID) > maxLocal || len(h.Dev) > maxType || len(h.Prev) > maxPrev || h.Gen < 0 || len(body) > MaxBody {
		return "", fmt.Errorf("sealing %s: %w", ad.ID, ErrLimit)
	}
	size := h.size() + len(body)
	blob := make([]byte, headLen+padmé(size)+tagLen)
	plain := append(h.append(blob[headLen:headLen], len(body)), body...)
	plain = plain[:len(blob)-headLen-tagLen] // The rest is zero.
	s, err := newSeal(blob[:headLen], k, ad.ID, ad.fields("doc"), rand)
	if err != nil {
		return "", err
	}
	s.aead.Seal(plain[:0], s.nonce, plain, s.ad)
	var b strings.Builder
	b.Grow(len(contentOpen) + base64.RawURLEncoding.EncodedLen(len(blob)) + len(contentClose))
	b.WriteString(contentOpen)
	enc := base64.NewEncoder(base64.RawURLEncoding, &b)
	_, _ = enc.Write(blob) // A strings.Builder takes everything.
	_ = enc.Close()
	b.WriteString(contentClose)
	return b.String(), nil
}

// isDoc reports whether content has the outer form of LD1.
func isDoc(content string) bool {
	return len(content) >= len(contentOpen)+len(contentClose) && strings.HasPrefix(content, contentOpen) && strings.HasSuffix(content, contentClose)
}

// OpenDoc opens content that SealDoc made under one of keys and for exactly
// ad. The error is ErrFormat, ErrRev, ErrEpoch or ErrForged.
func OpenDoc(content string, keys func(epoch uint32) (key LD1Key, ok bool), ad AD) (DocHeader, []byte, error) {
	fail := func(err error) (DocHeader, []byte, error) {
		return DocHeader{}, nil, fmt.Errorf("opening %s: %w", ad.ID, err)
	}
	if _, err := u1db.ParseRevision(ad.Rev); err != nil {
		return fail(ErrRev)
	}
	if !isDoc(content) {
		return fail(ErrFormat)
	}
	text := content[len(contentOpen) : len(content)-len(contentClose)]
	if strings.ContainsAny(text, "\r\n") { // Which the decoder would skip.
		return fail(ErrFormat)
	}
	blob, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(blob) < headLen+minPadded+tagLen {
		return fail(ErrFormat)
	}
	s, err := openSeal(blob, keys, ad.ID, ad.fields("doc"))
	if err != nil {
		return fail(err)
	}
	plain, err := s.aead.Open(blob[headLen:headLen], s.nonce, blob[headLen:], s.ad)
	if err != nil {
		return fail(ErrForged)
	}
	h, body, err := parsePlain(plain)
	if err != nil {
		return fail(err)
	}
	return h, body, nil
}

// fields returns the last part of the associated data.
func (ad AD) fields(kind string) []string {
	if kind == "blob" {
		return []string{ad.User, "user-" + ad.User, kind, ad.Database, ad.ID, immutable}
	}
	return []string{ad.User, ad.Database, kind, ad.ID, ad.Rev}
}

// A seal is the cipher of one document or blob.
type seal struct {
	aead  cipher.AEAD
	nonce []byte // Of aead.
	ad    []byte
	k     []byte // K_doc, for the chunks of suite 2.
	suite Suite
}

// newSeal fills head, with a fresh nonce.
func newSeal(head []byte, k EpochKey, id string, fields []string, rand io.Reader) (*seal, error) {
	if k.Suite == 0 {
		k.Suite = XChaCha
	}
	b := append(head[:0], magic...)
	b = append(b, byte(k.Suite))
	binary.BigEndian.AppendUint32(b, k.Epoch)
	if _, err := io.ReadFull(rand, head[headLen-nonceLen:]); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return derive(head, k.Key, id, fields)
}

// openSeal reads the head of blob.
func openSeal(blob []byte, keys func(uint32) (LD1Key, bool), id string, fields []string) (*seal, error) {
	if string(blob[:len(magic)]) != magic {
		return nil, ErrFormat
	}
	key, ok := keys(binary.BigEndian.Uint32(blob[len(magic)+1:]))
	if !ok {
		return nil, ErrEpoch
	}
	return derive(blob[:headLen], key, id, fields)
}

func derive(head []byte, key LD1Key, id string, fields []string) (*seal, error) {
	k, err := hkdf.Key(sha256.New, key[:], nil, "leap/doc/v1|"+id, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a document key: %w", err)
	}
	s := &seal{k: k, suite: Suite(head[len(magic)])}
	s.ad = appendField(make([]byte, 0, 256), "leap/ld1")
	s.ad = appendField(s.ad, head[len(magic):len(magic)+1])
	s.ad = appendField(s.ad, head[len(magic)+1:len(magic)+5])
	for _, f := range fields {
		s.ad = appendField(s.ad, f)
	}
	return s, s.rekey(head[headLen-nonceLen:])
}

// rekey sets the nonce of suite 1, key and nonce of suite 2.
func (s *seal) rekey(nonce []byte) (err error) {
	switch s.suite {
	case XChaCha:
		s.nonce = nonce
		if s.aead == nil {
			s.aead, err = chacha20poly1305.NewX(s.k)
		}
		return err
	case AESGCM:
		k, err := hkdf.Key(sha256.New, s.k, nonce, "leap/ld1/gcm", 32+12)
		if err != nil {
			return fmt.Errorf("deriving a message key: %w", err)
		}
		block, err := aes.NewCipher(k[:32])
		if err == nil {
			s.aead, err = cipher.NewGCM(block)
		}
		s.nonce = k[32:]
		return err
	}
	return ErrFormat
}

func appendField[T string | []byte](b []byte, f T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
}
