package srp

import (
	"crypto/sha256"
	"hash"
	"math/big"

	"leap.example/services/protocol/problem"
)

// A Suite names everything that both halves of a login must agree on: group,
// hash, padding and what the password becomes. The text is the wire value and
// is stored with the verifier, which belongs to one suite.
type Suite string

const (
	// SRP3072 is the default: RFC 5054's 3072-bit group, SHA-256, padded
	// operands, Argon2id before SRP.
	SRP3072 Suite = "srp-3072"
	// LEAP1024 is the classic LEAP login: RFC 5054's 1024-bit group, SHA-256,
	// no padding, no pre-hash. Served only with legacy_clients.
	LEAP1024 Suite = "leap-1024"
)

// A KDF says how a password is stretched before SRP. It is public and travels
// with the salt.
type KDF struct {
	Name string `json:"name"` // "argon2id".
	T    uint32 `json:"t"`    // Passes.
	M    uint32 `json:"m"`    // Memory in KiB.
	P    uint8  `json:"p"`    // Lanes.
}

// DefaultKDF returns the parameters for new accounts (client.md 2.4).
func DefaultKDF() KDF { return KDF{Name: "argon2id", T: 3, M: 65536, P: 1} }

// Validate refuses, as Invalid, parameters so weak that a server must have
// lowered them (below 19 MiB or 2 passes) or so great that they only serve to
// exhaust the client (above 16 passes, 1 GiB or 4 lanes).
func (k KDF) Validate() error {
	switch {
	case k.Name != "argon2id":
		return problem.Invalid.Errorf("unknown key derivation %q", k.Name)
	case k.M < 19456 || k.T < 2 || k.P < 1:
		return problem.Invalid.Errorf("key derivation is too weak: m=%d t=%d p=%d", k.M, k.T, k.P)
	case k.M > 1<<20 || k.T > 16 || k.P > 4:
		return problem.Invalid.Errorf("key derivation is too costly: m=%d t=%d p=%d", k.M, k.T, k.P)
	}
	return nil
}

// group is what the arithmetic needs to know of a suite.
type group struct {
	n, g   *big.Int
	hash   func() hash.Hash
	padded bool // RFC 5054's PAD(): numbers are hashed at the length of n.
	strict bool // Numbers travel in their full length, lower case, below n.
}

// group returns the parameters of s, or an Invalid error.
func (s Suite) group() (*group, error) {
	switch s {
	case SRP3072:
		return &group{number(n3072), big.NewInt(5), sha256.New, true, true}, nil
	case LEAP1024:
		return &group{number(n1024), big.NewInt(2), sha256.New, false, false}, nil
	}
	return nil, problem.Invalid.Errorf("unknown login suite %q", string(s))
}

// number reads a constant of this package.
func number(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("srp: malformed constant")
	}
	return n
}

// RFC 5054, appendix A, 1024-bit and 3072-bit group.
const (
	n1024 = "EEAF0AB9ADB38DD69C33F80AFA8FC5E86072618775FF3C0B9EA2314C9C256576" +
		"D674DF7496EA81D3383B4813D692C6E0E0D5D8E250B98BE48E495C1D6089DAD1" +
		"5DC7D7B46154D6B6CE8EF4AD69B15D4982559B297BCF1885C529F566660E57EC" +
		"68EDBC3C05726CC02FD4CBF4976EAA9AFD5138FE8376435B9FC61D2FC0EB06E3"
	n3072 = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
		"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
		"3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33" +
		"A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
		"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864" +
		"D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2" +
		"08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"
)
