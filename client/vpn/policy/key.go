package policy

import (
	"crypto/ecdh"
	"encoding/base64"
	"fmt"
	"io"

	"leap.example/services/protocol/problem"
)

// A Key is a WireGuard public key. Its text is standard base64.
type Key [32]byte

// MarshalText is the wire form.
func (k Key) MarshalText() ([]byte, error) { return encode(k), nil }

// UnmarshalText reads the wire form; anything else is Invalid.
func (k *Key) UnmarshalText(text []byte) error { return decode((*[32]byte)(k), text) }

// A Secret is a WireGuard private key or pre-shared key. fmt prints it as
// "(secret)"; only MarshalText gives it away.
type Secret struct{ b [32]byte }

// SecretOf returns b as a Secret.
func SecretOf(b [32]byte) Secret { return Secret{b} }

// Bytes returns the secret itself, for the code that gives it to WireGuard.
func (s Secret) Bytes() [32]byte { return s.b }

// Zero reports whether there is none.
func (s Secret) Zero() bool { return s == Secret{} }

// Public returns the public key that belongs to a private one.
func (s Secret) Public() (Key, error) {
	private, err := ecdh.X25519().NewPrivateKey(s.b[:])
	if err != nil {
		return Key{}, problem.Invalid.Errorf("malformed private key")
	}
	return Key(private.PublicKey().Bytes()), nil
}

// Format keeps the secret out of every text.
func (s Secret) Format(f fmt.State, _ rune) {
	io.WriteString(f, "(secret)") // A fmt.State reports no errors.
}

// MarshalText is the wire form, standard base64.
func (s Secret) MarshalText() ([]byte, error) { return encode(s.b), nil }

// UnmarshalText reads the wire form; anything else is Invalid, and the error
// does not repeat it.
func (s *Secret) UnmarshalText(text []byte) error { return decode(&s.b, text) }

func encode(b [32]byte) []byte { return base64.StdEncoding.AppendEncode(nil, b[:]) }

func decode(b *[32]byte, text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(b) {
		return problem.Invalid.Errorf("malformed WireGuard key: expected 32 bytes in base64")
	}
	copy(b[:], raw)
	return nil
}
