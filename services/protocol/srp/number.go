package srp

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"strings"

	"leap.example/services/protocol/problem"
)

// size returns the length of n in bytes.
func (g *group) size() int { return (g.n.BitLen() + 7) / 8 }

// bytes returns x as it is hashed.
func (g *group) bytes(x *big.Int) []byte {
	if g.padded {
		return x.FillBytes(make([]byte, g.size())) // RFC 5054, 2.1: PAD().
	}
	return x.Bytes() // leap-protocols.md 2: the shortest big-endian form.
}

// salt returns s as it is hashed. The classic server takes it for a number,
// so leading zero bytes vanish.
func (g *group) salt(s []byte) []byte {
	if g.padded {
		return s
	}
	return bytes.TrimLeft(s, "\x00")
}

// encode returns x as it travels.
func (g *group) encode(x *big.Int) string {
	if g.strict {
		return hex.EncodeToString(x.FillBytes(make([]byte, g.size())))
	}
	return hex.EncodeToString(x.Bytes())
}

// decode reads a number of the group and refuses, as Invalid, what is no
// number, too long, or zero modulo n.
func (g *group) decode(name, s string) (*big.Int, error) {
	if g.strict && (len(s) != 2*g.size() || s != strings.ToLower(s)) {
		return nil, problem.Invalid.Errorf("%s is not %d lower-case hex digits", name, 2*g.size())
	}
	if len(s) > 2*g.size() {
		return nil, problem.Invalid.Errorf("%s is too long", name)
	}
	b, err := unhex(s)
	if err != nil {
		return nil, problem.Invalid.Errorf("%s is not hex", name)
	}
	x := new(big.Int).SetBytes(b)
	if g.strict && x.Cmp(g.n) >= 0 {
		return nil, problem.Invalid.Errorf("%s is not below N", name)
	}
	// RFC 5054, 2.5.3 and 2.5.4: abort if A mod N or B mod N is 0.
	if new(big.Int).Mod(x, g.n).Sign() == 0 {
		return nil, problem.Invalid.Errorf("%s is 0 modulo N", name)
	}
	return x, nil
}

// unhex decodes hex digits. Ruby writes numbers without a leading zero, so an
// odd number of digits lacks one.
func unhex(s string) ([]byte, error) {
	if len(s)%2 == 1 {
		s = "0" + s
	}
	return hex.DecodeString(s)
}

// proof decodes M1 or M2. Some classic implementations drop leading zeros.
func (g *group) proof(s string) ([]byte, bool) {
	size := g.hash().Size()
	if len(s) > 2*size || g.strict && len(s) != 2*size {
		return nil, false
	}
	b, err := hex.DecodeString(strings.Repeat("0", 2*size-len(s)) + s)
	return b, err == nil
}
