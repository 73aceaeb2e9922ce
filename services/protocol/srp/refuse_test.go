package srp_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

func TestRefused(t *testing.T) {
	salt := salt(t)
	for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		sec := derive(t, s, "alice", "secret", salt)
		v := sec.Verifier()
		for _, tt := range []struct{ name, number string }{
			{"zero", strings.Repeat("0", len(v))},
			{"N", n(s)},
			{"empty", ""},
			{"no hex", strings.Repeat("x", len(v))},
			{"too long", "01" + v},
			{"odd and too long", "1" + v},
		} {
			t.Run(string(s)+"/"+tt.name, func(t *testing.T) {
				if _, err := srp.NewServer(s, "alice", host, salt, v, tt.number, rand.Reader); !errors.Is(err, problem.Invalid) {
					t.Errorf("as A: %v", err)
				}
				if _, err := srp.NewServer(s, "alice", host, salt, tt.number, v, rand.Reader); !errors.Is(err, problem.Invalid) {
					t.Errorf("as verifier: %v", err)
				}
				c, err := srp.NewClient(s, "alice", host, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Respond(sec, salt, tt.number); !errors.Is(err, problem.Invalid) {
					t.Errorf("as B: %v", err)
				}
			})
		}
	}
}

// TestOneEncoding: srp-3072 has one text for each number.
func TestOneEncoding(t *testing.T) {
	salt := salt(t)
	sec := derive(t, srp.SRP3072, "alice", "secret", salt)
	v := sec.Verifier()
	for name, a := range map[string]string{
		"upper case": strings.ToUpper(v), "shortened": "5", "above N": strings.Repeat("f", len(v)),
	} {
		if _, err := srp.NewServer(srp.SRP3072, "alice", host, salt, v, a, rand.Reader); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClassicHex: Ruby writes numbers and digests without leading zeros.
func TestClassicHex(t *testing.T) {
	salt := []byte{0x7f, 0x3a}
	sec := derive(t, srp.LEAP1024, "alice", "secret", salt)
	server, err := srp.NewServer(srp.LEAP1024, "alice", host, salt, sec.Verifier(), "5", rand.Reader)
	if err != nil {
		t.Fatalf("odd number of digits: %v", err)
	}
	if _, err := server.Verify("123"); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("short proof: %v", err)
	}
	for range 200 { // Until M1 begins with a zero.
		c, server, m1 := handshake(t, srp.LEAP1024, sec, sec.Verifier(), salt, host)
		short := strings.TrimLeft(m1, "0")
		if short == m1 {
			continue
		}
		m2, err := server.Verify(short)
		if err != nil {
			t.Fatalf("proof without leading zeros: %v", err)
		}
		if err := c.Verify(strings.TrimLeft(m2, "0")); err != nil {
			t.Errorf("answer without leading zeros: %v", err)
		}
		return
	}
	t.Error("no proof began with a zero")
}

// TestClassicSalt: in leap-1024 leading zero bytes of the salt do not count.
func TestClassicSalt(t *testing.T) {
	long, short := []byte{0, 0, 1, 2, 3}, []byte{1, 2, 3}
	a := derive(t, srp.LEAP1024, "alice", "secret", long)
	b := derive(t, srp.LEAP1024, "alice", "secret", short)
	if a.Verifier() != b.Verifier() {
		t.Error("the verifiers differ")
	}
	if a.WrapKey() != b.WrapKey() {
		t.Error("the wrap keys differ")
	}
	c, err := srp.NewClient(srp.LEAP1024, "alice", host, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server, err := srp.NewServer(srp.LEAP1024, "alice", host, short, a.Verifier(), c.A(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m1, err := c.Respond(a, long, server.B())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Verify(m1); err != nil {
		t.Errorf("proof over the salt with zeros: %v", err)
	}
}

func TestKDF(t *testing.T) {
	if err := srp.DefaultKDF().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	for name, change := range map[string]func(*srp.KDF){
		"name":        func(k *srp.KDF) { k.Name = "scrypt" },
		"weak memory": func(k *srp.KDF) { k.M = 19455 },
		"weak time":   func(k *srp.KDF) { k.T = 1 },
		"no lane":     func(k *srp.KDF) { k.P = 0 },
		"memory":      func(k *srp.KDF) { k.M = 1<<20 + 1 },
		"time":        func(k *srp.KDF) { k.T = 17 },
		"lanes":       func(k *srp.KDF) { k.P = 5 },
	} {
		k := least()
		change(&k)
		if _, err := srp.Derive(srp.SRP3072, "alice", "secret", make([]byte, 16), k); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, size := range []int{0, 15, 17} {
		if _, err := srp.Derive(srp.SRP3072, "alice", "secret", make([]byte, size), least()); !errors.Is(err, problem.Invalid) {
			t.Errorf("salt of %d bytes: %v", size, err)
		}
	}
	if _, err := srp.Derive("rot13", "alice", "secret", make([]byte, 16), least()); !errors.Is(err, problem.Invalid) {
		t.Errorf("unknown suite: %v", err)
	}
}

// FuzzNumber: whatever a peer sends as its number is used or refused.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"", "0", "5", "xyz", n(srp.LEAP1024), n(srp.SRP3072), strings.Repeat("f", 256), strings.Repeat("0", 767) + "1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, a string) {
		for _, s := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
			v := srp.FakeVerifier(s, []byte("key"), "alice")
			server, err := srp.NewServer(s, "alice", host, nil, v, a, strings.NewReader(strings.Repeat("b", 32)))
			if err != nil {
				if !errors.Is(err, problem.Invalid) {
					t.Errorf("refused with %v", err)
				}
				continue
			}
			if _, err := server.Verify(a); err == nil {
				t.Error("a guess without the password was right")
			}
		}
	})
}
