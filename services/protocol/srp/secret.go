package srp

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"io"
	"math/big"
	"strings"

	"golang.org/x/crypto/argon2"

	"leap.example/services/protocol/problem"
)

// saltSize is the length of the salts that NewSalt makes, bytes.
const saltSize = 16

// NewSalt draws a salt for a new verifier. Its first byte is never zero,
// because a classic server drops leading zeros.
func NewSalt(rand io.Reader) ([]byte, error) {
	salt := make([]byte, saltSize)
	for salt[0] == 0 {
		if _, err := io.ReadFull(rand, salt); err != nil {
			return nil, err
		}
	}
	return salt, nil
}

// A Secret is what a password becomes. It is never written or sent, except
// what Verifier returns, and by Keep to the process's own successor; it must not be logged and has no String method.
type Secret struct {
	suite Suite
	group *group
	x     *big.Int
	mk    func() []byte // The master key, 32 bytes.
}

// Derive stretches password. k is used by srp-3072 alone and must pass
// Validate; the salt of that suite has 16 bytes, one of leap-1024 any
// length up to 64. It takes about 0.3 s and as much memory as k says.
func Derive(s Suite, login, password string, salt []byte, k KDF) (*Secret, error) {
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	switch s {
	case SRP3072:
		if err := k.Validate(); err != nil {
			return nil, err
		}
		if len(salt) != saltSize {
			return nil, problem.Invalid.Errorf("salt has %d bytes, want %d", len(salt), saltSize)
		}
		mk := argon(password, salt, k)
		x := expand(mk, "leap/srp-x/v1|"+strings.ToLower(login))
		return &Secret{s, g, new(big.Int).SetBytes(x), func() []byte { return mk }}, nil
	default:
		if len(salt) == 0 || len(salt) > 64 {
			return nil, problem.Invalid.Errorf("salt has %d bytes, want 1 to 64", len(salt))
		}
		salt = bytes.Clone(g.salt(salt))
		mk := func() []byte { return argon(password, salt, DefaultKDF()) }
		return &Secret{s, g, g.classicX(login, password, salt), mk}, nil
	}
}

// classicX returns x = H(salt | H(login ":" password)), RFC 5054, 2.4.
func (g *group) classicX(login, password string, salt []byte) *big.Int {
	inner := g.sum([]byte(login + ":" + password))
	return new(big.Int).SetBytes(g.sum(g.salt(salt), inner))
}

func argon(password string, salt []byte, k KDF) []byte {
	return argon2.IDKey([]byte(password), salt, k.T, k.M, k.P, 32)
}

// expand derives the 32-byte key called info from mk (RFC 5869, no salt).
func expand(mk []byte, info string) []byte {
	key, err := hkdf.Key(sha256.New, mk, nil, info, 32)
	if err != nil {
		panic(err) // Only if 32 bytes were too long.
	}
	return key
}

// Verifier returns v = g^x mod N in hex: what the provider stores.
func (s *Secret) Verifier() string { return s.group.encode(s.group.exp(s.group.g, s.x)) }

// WrapKey returns the key that wraps the vault and the key ring of the
// account. The provider cannot derive it from what it is given in srp-3072;
// in leap-1024 whoever holds the verifier can guess the password cheaply and
// with it this key. It costs a key derivation in leap-1024.
func (s *Secret) WrapKey() [32]byte {
	return [32]byte(expand(s.mk(), "leap/wrap/v1"))
}

// keptSize is the length of what Keep returns, bytes: x and the master key.
const keptSize = 32 + 32

// Keep returns what [Restore] makes the secret of again, without the password: for a
// process that takes the place of this one, and for no file and no network. It costs a
// key derivation in leap-1024.
func (s *Secret) Keep() []byte {
	return append(s.x.FillBytes(make([]byte, keptSize-32)), s.mk()...)
}

// Restore makes of what Keep returned the secret that it was, of suite s.
func Restore(s Suite, kept []byte) (*Secret, error) {
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	if len(kept) != keptSize {
		return nil, problem.Invalid.Errorf("a kept secret has %d bytes, want %d", len(kept), keptSize)
	}
	mk := bytes.Clone(kept[keptSize-32:])
	return &Secret{s, g, new(big.Int).SetBytes(kept[:keptSize-32]), func() []byte { return mk }}, nil
}
