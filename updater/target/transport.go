package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A release travels in one of three ways, each a target of its own. What comes out
// must be the full release: who vouches for the other two saves time, no more.
//
//	node/amd64/1.4.0/leap.efi          as it is
//	node/amd64/1.4.0/leap.efi.zst      packed
//	deltas/SHA256-SHA256.bsz           as what is to be changed of another one
const (
	packedSuffix = ".zst"
	deltaDir     = "deltas/"
	deltaSuffix  = ".bsz"
)

// PackedPath is the path of a target, packed.
func PackedPath(p string) string { return p + packedSuffix }

// DeltaPath is the path of the delta that leads from one file to another.
func DeltaPath(from, to [sha256.Size]byte) string {
	return deltaDir + hex.EncodeToString(from[:]) + "-" + hex.EncodeToString(to[:]) + deltaSuffix
}

// ParseDeltaPath says between which files a delta is. Paths of other targets are
// an error, [ErrPath].
func ParseDeltaPath(p string) (from, to [sha256.Size]byte, err error) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(p, deltaDir), deltaSuffix)
	a, b, _ := strings.Cut(name, "-")
	x, err1 := hex.DecodeString(a)
	y, err2 := hex.DecodeString(b)
	if !ok || err1 != nil || err2 != nil || copy(from[:], x) != len(x) || copy(to[:], y) != len(y) || DeltaPath(from, to) != p {
		return from, to, fmt.Errorf("%w of a delta: %s", ErrPath, p)
	}
	return from, to, nil
}
