package srp

import (
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"

	"leap.example/services/protocol/problem"
)

// A Server is the provider's half of one handshake: NewServer with the
// client's A, answer B, Verify M1 once. Between the two requests it is kept as
// the bytes of MarshalBinary; whoever holds them removes them on first use.
type Server struct {
	suite      Suite
	group      *group
	identity   string
	salt       []byte
	v, b       *big.Int
	pubA, pubB *big.Int
	used       bool
}

// NewServer begins a handshake for login. salt and verifierHex are those of
// the account (or FakeSalt and FakeVerifier). A malformed A, or one that is 0
// modulo N, is Invalid.
func NewServer(s Suite, login, host string, salt []byte, verifierHex, a string, rand io.Reader) (*Server, error) {
	g, err := s.group()
	if err != nil {
		return nil, err
	}
	b, err := ephemeral(rand)
	if err != nil {
		return nil, err
	}
	return g.newServer(s, identity(s, login, host), salt, verifierHex, a, b)
}

func (g *group) newServer(s Suite, identity string, salt []byte, verifierHex, a string, b *big.Int) (*Server, error) {
	pubA, err := g.decode("A", a)
	if err != nil {
		return nil, err
	}
	v, err := g.decode("verifier", verifierHex)
	if err != nil {
		return nil, err
	}
	pubB := g.public(v, b)
	return &Server{suite: s, group: g, identity: identity, salt: salt, v: v, b: b, pubA: pubA, pubB: pubB}, nil
}

// B returns the server's public number in hex.
func (s *Server) B() string { return s.group.encode(s.pubB) }

// Verify checks the client's proof M1 and returns the server's, M2, in hex. A
// wrong proof is Unauthenticated, and so is every second call: one guess per
// handshake.
func (s *Server) Verify(m1 string) (m2 string, err error) {
	if s.used {
		return "", problem.Unauthenticated.Errorf("the handshake was used")
	}
	s.used = true
	u, err := s.group.u(s.pubA, s.pubB)
	if err != nil {
		return "", err
	}
	secret := s.group.serverSecret(s.pubA, s.v, u, s.b)
	p1, p2 := s.group.proofs(s.identity, s.salt, s.pubA, s.pubB, secret)
	got, ok := s.group.proof(m1)
	if !ok || subtle.ConstantTimeCompare(got, p1) != 1 {
		return "", problem.Unauthenticated.Errorf("not a valid username/password combination")
	}
	return hex.EncodeToString(p2), nil
}

// state is the stored form of a Server. B is computed again on reading.
type state struct {
	Version  int    `json:"v"` // 1.
	Suite    Suite  `json:"suite"`
	Identity string `json:"identity"`
	Salt     []byte `json:"salt"`
	Verifier string `json:"verifier"`
	A        string `json:"A"`
	Private  []byte `json:"b"`
}

// MarshalBinary returns the handshake for UnmarshalServer. The bytes are
// secret until the handshake is over.
func (s *Server) MarshalBinary() ([]byte, error) {
	if s.used {
		return nil, problem.Invalid.Errorf("the handshake was used")
	}
	return json.Marshal(state{
		Version: 1, Suite: s.suite, Identity: s.identity, Salt: s.salt,
		Verifier: s.group.encode(s.v), A: s.group.encode(s.pubA), Private: s.b.Bytes(),
	})
}

// UnmarshalServer reads what MarshalBinary wrote; anything else is Invalid.
func UnmarshalServer(data []byte) (*Server, error) {
	var st state
	if err := json.Unmarshal(data, &st); err != nil || st.Version != 1 || len(st.Private) > 32 {
		return nil, problem.Invalid.Errorf("malformed handshake state")
	}
	g, err := st.Suite.group()
	if err != nil {
		return nil, err
	}
	return g.newServer(st.Suite, st.Identity, st.Salt, st.Verifier, st.A, new(big.Int).SetBytes(st.Private))
}
