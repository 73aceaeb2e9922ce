package tufclient

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// sums are those of what was written, by their kind, and beside each the one that is
// listed.
type sums map[string]sum

type sum struct {
	hash.Hash

	listed []byte
}

// newSums returns a sum for each one that is listed. One of an unknown kind is
// [ErrHash].
func newSums(listed metadata.Hashes) (sums, error) {
	all := sums{}
	for name, want := range listed {
		switch name {
		case "sha256":
			all[name] = sum{sha256.New(), want}
		case "sha512":
			all[name] = sum{sha512.New(), want}
		default:
			return nil, fmt.Errorf("%w: it has a hash of the unknown kind %.20q", ErrHash, name)
		}
	}
	return all, nil
}

// Write implements io.Writer, and never fails.
func (s sums) Write(b []byte) (int, error) {
	for _, one := range s {
		_, _ = one.Hash.Write(b) // Never an error.
	}
	return len(b), nil
}

// reset begins anew.
func (s sums) reset() {
	for _, one := range s {
		one.Reset()
	}
}

// right reports whether what was written has every sum that is listed.
func (s sums) right() bool {
	for _, one := range s {
		if !hmac.Equal(one.Sum(nil), one.listed) {
			return false
		}
	}
	return true
}
