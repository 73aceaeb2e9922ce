package srp

import (
	"io"
	"math/big"
	"strings"

	"leap.example/services/protocol/problem"
)

// sum hashes the concatenation of parts.
func (g *group) sum(parts ...[]byte) []byte {
	h := g.hash()
	for _, p := range parts {
		h.Write(p) // Never fails.
	}
	return h.Sum(nil)
}

func (g *group) exp(x, y *big.Int) *big.Int { return new(big.Int).Exp(x, y, g.n) }

// k is SRP-6a's multiplier, RFC 5054, 2.5.3.
func (g *group) k() *big.Int {
	return new(big.Int).SetBytes(g.sum(g.n.Bytes(), g.bytes(g.g)))
}

// u is the scrambling parameter, RFC 5054, 2.5.3.
func (g *group) u(a, b *big.Int) (*big.Int, error) {
	u := new(big.Int).SetBytes(g.sum(g.bytes(a), g.bytes(b)))
	if u.Sign() == 0 {
		return nil, problem.Invalid.Errorf("u is 0")
	}
	return u, nil
}

// public returns B = kv + g^b mod N.
func (g *group) public(v, b *big.Int) *big.Int {
	n := new(big.Int).Mul(g.k(), v)
	n.Add(n, g.exp(g.g, b))
	return n.Mod(n, g.n)
}

// clientSecret returns S = (B - kg^x)^(a + ux) mod N.
func (g *group) clientSecret(b, a, u, x *big.Int) *big.Int {
	base := new(big.Int).Mul(g.k(), g.exp(g.g, x))
	base.Sub(b, base).Mod(base, g.n)
	e := new(big.Int).Mul(u, x)
	return g.exp(base, e.Add(e, a))
}

// serverSecret returns S = (Av^u)^b mod N.
func (g *group) serverSecret(a, v, u, b *big.Int) *big.Int {
	base := new(big.Int).Mul(a, g.exp(v, u))
	return g.exp(base.Mod(base, g.n), b)
}

// proofs returns M1 and M2, RFC 2945, 3, with K = H(S).
func (g *group) proofs(identity string, salt []byte, a, b, s *big.Int) (m1, m2 []byte) {
	key := g.sum(g.bytes(s))
	mixed := g.sum(g.n.Bytes())
	for i, c := range g.sum(g.g.Bytes()) {
		mixed[i] ^= c
	}
	m1 = g.sum(mixed, g.sum([]byte(identity)), g.salt(salt), g.bytes(a), g.bytes(b), key)
	return m1, g.sum(g.bytes(a), m1, key)
}

// identity is I: srp-3072 binds the proof to the provider.
func identity(s Suite, login, host string) string {
	if s == SRP3072 {
		return strings.ToLower(login) + "@" + strings.ToLower(host)
	}
	return login
}

// ephemeral draws the private number of one handshake: 256 bits.
func ephemeral(rand io.Reader) (*big.Int, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(b), nil
}
