package soledad

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// Derive returns a key for another purpose of the account, named by info. All
// devices derive the same one, and it never changes.
func (k *Keyring) Derive(info string) (key [32]byte) {
	b, err := hkdf.Expand(sha256.New, k.id[:], info, len(key))
	if err != nil {
		panic(err) // The length is legal.
	}
	return [32]byte(b)
}
