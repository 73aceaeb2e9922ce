package srp_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

const host = "example.org"

// least are the cheapest parameters that a client accepts.
func least() srp.KDF { return srp.KDF{Name: "argon2id", T: 2, M: 19456, P: 1} }

// n returns the modulus of s in hex.
func n(s srp.Suite) string {
	if s == srp.SRP3072 {
		return "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200cbbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff"
	}
	return "eeaf0ab9adb38dd69c33f80afa8fc5e86072618775ff3c0b9ea2314c9c256576d674df7496ea81d3383b4813d692c6e0e0d5d8e250b98be48e495c1d6089dad15dc7d7b46154d6b6ce8ef4ad69b15d4982559b297bcf1885c529f566660e57ec68edbc3c05726cc02fd4cbf4976eaa9afd5138fe8376435b9fc61d2fc0eb06e3"
}

func derive(t *testing.T, s srp.Suite, login, password string, salt []byte) *srp.Secret {
	t.Helper()
	sec, err := srp.Derive(s, login, password, salt, least())
	if err != nil {
		t.Fatal(err)
	}
	return sec
}

func salt(t *testing.T) []byte {
	t.Helper()
	b, err := srp.NewSalt(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// handshake runs both halves up to the client's proof.
func handshake(t *testing.T, s srp.Suite, sec *srp.Secret, verifier string, salt []byte, serverHost string) (*srp.Client, *srp.Server, string) {
	t.Helper()
	c, err := srp.NewClient(s, "alice", host, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server, err := srp.NewServer(s, "alice", serverHost, salt, verifier, c.A(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m1, err := c.Respond(sec, salt, server.B())
	if err != nil {
		t.Fatal(err)
	}
	return c, server, m1
}

func TestLogin(t *testing.T) {
	for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		t.Run(string(s), func(t *testing.T) {
			salt := salt(t)
			sec := derive(t, s, "alice", "secret", salt)
			c, server, m1 := handshake(t, s, sec, sec.Verifier(), salt, host)

			data, err := server.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			stored, err := srp.UnmarshalServer(data)
			if err != nil {
				t.Fatal(err)
			}
			if stored.B() != server.B() {
				t.Errorf("B changed in storage:\n%s\n%s", server.B(), stored.B())
			}
			m2, err := stored.Verify(m1)
			if err != nil {
				t.Fatalf("the right password is refused: %v", err)
			}
			if err := c.Verify(m2); err != nil {
				t.Errorf("the right server is refused: %v", err)
			}
			if err := c.Verify(m1); !errors.Is(err, problem.Unauthenticated) {
				t.Errorf("a wrong M2 gives %v", err)
			}
			if _, err := stored.Verify(m1); !errors.Is(err, problem.Unauthenticated) {
				t.Errorf("a second guess gives %v", err)
			}
			if _, err := stored.MarshalBinary(); err == nil {
				t.Error("a used handshake can be stored")
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	salt := salt(t)
	right := derive(t, srp.SRP3072, "alice", "secret", salt)
	for name, sec := range map[string]*srp.Secret{
		"password": derive(t, srp.SRP3072, "alice", "Secret", salt),
		"login":    derive(t, srp.SRP3072, "bob", "secret", salt),
	} {
		_, server, m1 := handshake(t, srp.SRP3072, sec, right.Verifier(), salt, host)
		if _, err := server.Verify(m1); !errors.Is(err, problem.Unauthenticated) {
			t.Errorf("wrong %s gives %v", name, err)
		}
	}
	// A server that does not know the verifier cannot prove itself.
	c, server, m1 := handshake(t, srp.SRP3072, right, srp.FakeVerifier(srp.SRP3072, []byte("key"), "alice"), salt, host)
	if _, err := server.Verify(m1); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("fake verifier gives %v", err)
	}
	if err := c.Verify(strings.Repeat("0", 64)); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("invented M2 gives %v", err)
	}
}

// TestOtherProvider: the proof made for one provider is refused by another.
func TestOtherProvider(t *testing.T) {
	salt := salt(t)
	for s, bound := range map[srp.Suite]bool{srp.SRP3072: true, srp.LEAP1024: false} {
		sec := derive(t, s, "alice", "secret", salt)
		_, server, m1 := handshake(t, s, sec, sec.Verifier(), salt, "other.example")
		if _, err := server.Verify(m1); (err != nil) != bound {
			t.Errorf("%s: proof for another host gives %v", s, err)
		}
	}
}

func TestFake(t *testing.T) {
	key := []byte("server secret")
	a, b := srp.FakeSalt(key, "Mallory"), srp.FakeSalt(key, "mallory")
	if hex.EncodeToString(a) != hex.EncodeToString(b) || len(a) != 16 {
		t.Errorf("salt of one login changes: %x, %x", a, b)
	}
	if c := srp.FakeSalt([]byte("other"), "mallory"); hex.EncodeToString(a) == hex.EncodeToString(c) {
		t.Error("the salt does not depend on the secret")
	}
	for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		v := srp.FakeVerifier(s, key, "mallory")
		if v != srp.FakeVerifier(s, key, "mallory") || v == srp.FakeVerifier(s, key, "mallet") {
			t.Errorf("%s: the verifier is not one per login", s)
		}
		if _, err := srp.NewServer(s, "mallory", host, a, v, v, rand.Reader); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// FuzzUnmarshalServer: stored state is read or refused, and read again the same.
func FuzzUnmarshalServer(f *testing.F) {
	for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		v := srp.FakeVerifier(s, []byte("key"), "alice")
		server, err := srp.NewServer(s, "alice", host, []byte("salt"), v, v, strings.NewReader(strings.Repeat("b", 32)))
		if err != nil {
			f.Fatal(err)
		}
		data, err := server.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"v":1,"suite":"leap-1024","A":"0","verifier":"1"}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		server, err := srp.UnmarshalServer(data)
		if err != nil {
			if !errors.Is(err, problem.Invalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		again, err := server.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if other, err := srp.UnmarshalServer(again); err != nil || other.B() != server.B() {
			t.Errorf("what was written is not read: %v", err)
		}
	})
}

func BenchmarkServer(b *testing.B) {
	v := srp.FakeVerifier(srp.SRP3072, []byte("key"), "alice")
	for b.Loop() {
		s, err := srp.NewServer(srp.SRP3072, "alice", host, []byte("salt"), v, v, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Verify(strings.Repeat("0", 64)); err == nil {
			b.Fatal("accepted")
		}
	}
}
