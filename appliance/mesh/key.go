package mesh

import (
	"fmt"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// A Key is a node's private key. It cannot be printed.
type Key struct{ key wgtypes.Key }

// NewKey makes one.
func NewKey() (Key, error) {
	k, err := wgtypes.GeneratePrivateKey()
	return Key{k}, err
}

// ParseKey is the inverse of [Key.Bytes].
func ParseKey(b []byte) (Key, error) {
	k, err := wgtypes.NewKey(b)
	if err != nil || k == (wgtypes.Key{}) {
		return Key{}, fmt.Errorf("a private key of WireGuard has 32 bytes that are not all 0; there are %d bytes", len(b))
	}
	return Key{k}, nil
}

// Bytes are the 32 bytes to keep.
func (k Key) Bytes() []byte { return k.key[:] }

// Public is the public key, as documents name it.
func (k Key) Public() string { return k.key.PublicKey().String() }

// Format prints that it is a key, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("private key")) }
