package lease

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"leap.example/services/protocol/problem"
)

// A Key is a Curve25519 key of WireGuard, public or private, or a pre-shared
// key. Its text, for JSON and configuration files, is that of wg(8): base64.
// fmt shows none of it; the zero Key is no key.
type Key [32]byte

var encoding = base64.StdEncoding.Strict()

// ParseKey reads the text of a key; anything but 32 bytes, not all zero, in
// base64 of 44 characters is Invalid.
func ParseKey(text string) (Key, error) {
	var k Key
	if err := k.UnmarshalText([]byte(text)); err != nil {
		return Key{}, err
	}
	return k, nil
}

// UnmarshalText is ParseKey for encoding/json.
func (k *Key) UnmarshalText(text []byte) error {
	var b [33]byte
	if len(text) != 44 {
		return problem.Invalid.Errorf("a key is 44 characters of base64")
	}
	if n, err := encoding.Decode(b[:], text); err != nil || n != 32 {
		return problem.Invalid.Errorf("a key is 44 characters of base64")
	}
	if got := Key(b[:32]); !got.IsZero() {
		*k = got
		return nil
	}
	return problem.Invalid.Errorf("a key is not zero")
}

// MarshalText returns the key in base64.
func (k Key) MarshalText() ([]byte, error) { return encoding.AppendEncode(nil, k[:]), nil }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// Hex returns the key as WireGuard's configuration protocol wants it.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// Public returns the public key of a private one.
func (k Key) Public() Key {
	priv, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic(err) // 32 bytes are a private key (RFC 7748, 5).
	}
	return Key(priv.PublicKey().Bytes())
}

// Format hides the key from fmt, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[key]") }

// checkPublic refuses what is no public key: by a point of small order every
// private key comes to the same secret (RFC 7748, 6.1), and WireGuard answers
// nothing.
func (k Key) checkPublic() error {
	any := [32]byte{0: 8, 31: 64}
	priv, err := ecdh.X25519().NewPrivateKey(any[:])
	if err != nil {
		return err
	}
	pub, err := ecdh.X25519().NewPublicKey(k[:])
	if err != nil {
		return problem.Invalid.Errorf("malformed public key")
	}
	if _, err := priv.ECDH(pub); err != nil {
		return problem.Invalid.Errorf("not a public key of WireGuard: make a new key pair")
	}
	return nil
}

// An ID names one lease: 128 random bits as 32 characters of lower-case hex. A
// secret of the one who holds the lease.
type ID [16]byte

// ParseID reads the text of an ID; anything else is NotExist, as if it were
// the ID of no lease.
func ParseID(text string) (ID, error) {
	var id ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return ID{}, problem.NotExist.Errorf("there is no such lease: ask for a new one")
	}
	return id, nil
}

// UnmarshalText reads an ID; anything else is Invalid.
func (id *ID) UnmarshalText(text []byte) error {
	var got ID
	if len(text) != 2*len(got) {
		return problem.Invalid.Errorf("malformed lease_id")
	}
	_, err := hex.Decode(got[:], text)
	if err != nil || hex.EncodeToString(got[:]) != string(text) || got == (ID{}) {
		return problem.Invalid.Errorf("malformed lease_id")
	}
	*id = got
	return nil
}

// MarshalText returns the ID in hex.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// Path returns the path of the lease.
func (id ID) Path() string { return PathLease + "/" + hex.EncodeToString(id[:]) }

// Format hides the ID from fmt, whatever the verb.
func (ID) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[lease]") }
