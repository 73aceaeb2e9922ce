package srp

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/srp3072.json")

// vector is one file of testdata: every value of one login, numbers in hex.
type vector struct {
	Source   string `json:"source"`
	Login    string `json:"login"`
	Host     string `json:"host,omitempty"`
	Password string `json:"password"`
	Salt     string `json:"salt"`
	KDF      *KDF   `json:"kdf,omitempty"`
	K1       string `json:"k"`
	X        string `json:"x"`
	V        string `json:"v"`
	PrivA    string `json:"a"`
	PrivB    string `json:"b"`
	A        string `json:"A"`
	B        string `json:"B"`
	U        string `json:"u"`
	S        string `json:"S"`
	K        string `json:"K,omitempty"`
	M1       string `json:"M1,omitempty"`
	M2       string `json:"M2,omitempty"`
	Wrap     string `json:"wrap,omitempty"`
}

func readVector[V any](t *testing.T, name string) (v V) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// compute returns v with every number computed anew from login, password,
// salt, x, a and b.
func compute(t *testing.T, g *group, s Suite, v vector, x *big.Int) vector {
	t.Helper()
	salt, err := hex.DecodeString(v.Salt)
	if err != nil {
		t.Fatal(err)
	}
	a, b := number(v.PrivA), number(v.PrivB)
	verifier := g.exp(g.g, x)
	c := g.newClient(s, identity(s, v.Login, v.Host), a)
	server, err := g.newServer(s, identity(s, v.Login, v.Host), salt, g.encode(verifier), c.A(), b)
	if err != nil {
		t.Fatal(err)
	}
	u, err := g.u(c.pubA, server.pubB)
	if err != nil {
		t.Fatal(err)
	}
	secret := g.clientSecret(server.pubB, a, u, x)
	if other := g.serverSecret(c.pubA, verifier, u, b); secret.Cmp(other) != 0 {
		t.Errorf("client and server disagree:\n%x\n%x", secret, other)
	}
	m1, m2 := g.proofs(c.identity, salt, c.pubA, server.pubB, secret)
	v.K1, v.X, v.V, v.A, v.B = g.k().Text(16), x.Text(16), g.encode(verifier), c.A(), server.B()
	v.U, v.S, v.K = u.Text(16), g.encode(secret), hex.EncodeToString(g.sum(g.bytes(secret)))
	v.M1, v.M2 = hex.EncodeToString(m1), hex.EncodeToString(m2)
	return v
}

// TestRFC5054 runs the vectors of the RFC, which has its own hash, through
// the implementation. The RFC gives no proofs.
func TestRFC5054(t *testing.T) {
	want := readVector[vector](t, "rfc5054.json")
	g := &group{n: number(n1024), g: big.NewInt(2), hash: sha1.New, padded: true}
	salt, err := hex.DecodeString(want.Salt)
	if err != nil {
		t.Fatal(err)
	}
	got := compute(t, g, LEAP1024, want, g.classicX(want.Login, want.Password, salt))
	got.K, got.M1, got.M2 = "", "", ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestLEAP1024Vector(t *testing.T) {
	want := readVector[vector](t, "leap1024.json")
	g, err := LEAP1024.group()
	if err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString(want.Salt)
	if err != nil {
		t.Fatal(err)
	}
	sec, err := Derive(LEAP1024, want.Login, want.Password, salt, KDF{})
	if err != nil {
		t.Fatal(err)
	}
	if sec.Verifier() != want.V {
		t.Errorf("verifier = %s, want %s", sec.Verifier(), want.V)
	}
	if diff := cmp.Diff(want, compute(t, g, LEAP1024, want, sec.x)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestSRP3072Vectors holds the default suite to the values that clients in
// other languages use.
func TestSRP3072Vectors(t *testing.T) {
	g, err := SRP3072.group()
	if err != nil {
		t.Fatal(err)
	}
	const file = "srp3072.json"
	want := readVector[[]vector](t, file)
	var got []vector
	for _, v := range want {
		salt, err := hex.DecodeString(v.Salt)
		if err != nil {
			t.Fatal(err)
		}
		sec, err := Derive(SRP3072, v.Login, v.Password, salt, *v.KDF)
		if err != nil {
			t.Fatal(err)
		}
		wrap := sec.WrapKey()
		n := compute(t, g, SRP3072, v, sec.x)
		n.Wrap = hex.EncodeToString(wrap[:])
		got = append(got, n)
	}
	if *update {
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/"+file, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestGroups checks that the moduli are safe primes.
func TestGroups(t *testing.T) {
	for _, s := range []Suite{SRP3072, LEAP1024} {
		g, err := s.group()
		if err != nil {
			t.Fatal(err)
		}
		if q := new(big.Int).Rsh(g.n, 1); !g.n.ProbablyPrime(4) || !q.ProbablyPrime(4) {
			t.Errorf("%s: N is not a safe prime", s)
		}
	}
}
