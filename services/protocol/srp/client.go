package srp

import (
	"crypto/subtle"
	"encoding/hex"
	"io"
	"math/big"

	"leap.example/services/protocol/problem"
)

// A Client is the user's half of one handshake: NewClient, send A, Respond to
// salt and B, send M1, Verify M2. It is used once, by one goroutine.
type Client struct {
	suite    Suite
	group    *group
	identity string
	a, pubA  *big.Int
	m2       []byte
}

// NewClient begins a handshake for login at the provider host (its domain).
func NewClient(s Suite, login, host string, rand io.Reader) (*Client, error) {
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	a, err := ephemeral(rand)
	if err != nil {
		return nil, err
	}
	return g.newClient(s, identity(s, login, host), a), nil
}

func (g *group) newClient(s Suite, identity string, a *big.Int) *Client {
	return &Client{suite: s, group: g, identity: identity, a: a, pubA: g.exp(g.g, a)}
}

// A returns the client's public number in hex.
func (c *Client) A() string { return c.group.encode(c.pubA) }

// Respond returns the proof M1 (in bonafide: client_auth) in hex. A B that is
// malformed or 0 modulo N, u = 0 and a secret of another suite are Invalid.
func (c *Client) Respond(sec *Secret, salt []byte, b string) (m1 string, err error) {
	if sec.suite != c.suite {
		return "", problem.Invalid.Errorf("the secret is of suite %s, the handshake of %s", sec.suite, c.suite)
	}
	pubB, err := c.group.decode("B", b)
	if err != nil {
		return "", err
	}
	u, err := c.group.u(c.pubA, pubB)
	if err != nil {
		return "", err
	}
	s := c.group.clientSecret(pubB, c.a, u, sec.x)
	p1, p2 := c.group.proofs(c.identity, salt, c.pubA, pubB, s)
	c.m2 = p2
	return hex.EncodeToString(p1), nil
}

// Verify checks the server's proof. An Unauthenticated error says that the
// server does not know the verifier: it is not the provider where the account
// was made.
func (c *Client) Verify(m2 string) error {
	got, ok := c.group.proof(m2)
	if !ok || c.m2 == nil || subtle.ConstantTimeCompare(got, c.m2) != 1 {
		return problem.Unauthenticated.Errorf("the server does not know the verifier")
	}
	return nil
}
