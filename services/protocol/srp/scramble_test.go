package srp

import (
	"errors"
	"hash"
	"testing"

	"leap.example/services/protocol/problem"
)

// zeroHash is a hash whose sums are all zero.
type zeroHash struct{ hash.Hash }

func (h zeroHash) Sum(b []byte) []byte { return append(b, make([]byte, h.Size())...) }

// TestZeroU: u = 0 would let a server log in without the verifier.
func TestZeroU(t *testing.T) {
	g, err := LEAP1024.group()
	if err != nil {
		t.Fatal(err)
	}
	sec, err := Derive(LEAP1024, "alice", "secret", []byte("salt"), KDF{})
	if err != nil {
		t.Fatal(err)
	}
	sha := g.hash
	g.hash = func() hash.Hash { return zeroHash{sha()} }
	c := g.newClient(LEAP1024, "alice", number("1234"))
	if _, err := c.Respond(sec, []byte("salt"), "5"); !errors.Is(err, problem.Invalid) {
		t.Errorf("client: %v", err)
	}
	s, err := g.newServer(LEAP1024, "alice", []byte("salt"), sec.Verifier(), c.A(), number("5678"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify("0"); !errors.Is(err, problem.Invalid) {
		t.Errorf("server: %v", err)
	}
}
