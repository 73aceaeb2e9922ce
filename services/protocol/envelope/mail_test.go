package envelope_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"leap.example/services/protocol/envelope"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// user makes the key of a mail user; aead says whether it advertises SEIPDv2.
func user(tb testing.TB, aead bool) (public, private []byte) {
	tb.Helper()
	cfg := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now }, DefaultCipher: packet.CipherAES256}
	if aead {
		cfg.AEADConfig = &packet.AEADConfig{DefaultMode: packet.AEADModeGCM}
	}
	e, err := openpgp.NewEntity("alice", "", "alice@example.org", cfg)
	if err != nil {
		tb.Fatal(err)
	}
	var pub, priv bytes.Buffer
	if err := errors.Join(e.Serialize(&pub), e.SerializePrivateWithoutSigning(&priv, nil)); err != nil {
		tb.Fatal(err)
	}
	return pub.Bytes(), priv.Bytes()
}

func signer(tb testing.TB) (*envelope.SigningKey, string) {
	tb.Helper()
	k, err := envelope.NewSigningKey("mx1.example.org", rand.Reader, now)
	if err != nil {
		tb.Fatal(err)
	}
	pub, err := k.Public()
	if err != nil {
		tb.Fatal(err)
	}
	return k, pub
}

var header = envelope.Header{
	V: 1, From: "bob@example.net", To: "alice@example.org", Received: now, RemoteIP: "192.0.2.7",
	HELO: "mail.example.net", TLS: "TLS1.3", SPF: "pass", DKIM: "pass", DMARC: "none",
}

func seal(tb testing.TB, raw, to []byte, k *envelope.SigningKey) []byte {
	tb.Helper()
	b, err := envelope.Seal(header, raw, to, k, rand.Reader, now.Add(time.Hour))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestSealOpen(t *testing.T) {
	k, mx := signer(t)
	for _, aead := range []bool{false, true} {
		pub, priv := user(t, aead)
		for _, n := range []int{0, 1, 511, 10 << 10, 3 << 20} {
			raw := bytes.Repeat([]byte("m"), n)
			sealed := seal(t, raw, pub, k)
			// The version of the encrypted packet, after the session key's.
			tag, version := encrypted(t, sealed)
			if want := map[bool]byte{false: 1, true: 2}[aead]; tag != 18 || version != want {
				t.Errorf("aead %v: packet %d version %d, want 18 version %d", aead, tag, version, want)
			}
			h, got, err := envelope.Open(sealed, priv, []string{mx})
			if err != nil {
				t.Fatalf("aead %v, %d bytes: %v", aead, n, err)
			}
			if !bytes.Equal(got, raw) {
				t.Errorf("aead %v: %d bytes came back as %d", aead, n, len(got))
			}
			if d := cmp.Diff(header, h); d != "" {
				t.Errorf("header: %s", d)
			}
		}
	}
}

// encrypted returns tag and version of the packet after the first one.
func encrypted(t *testing.T, msg []byte) (tag, version byte) {
	t.Helper()
	n := int(msg[1]) // A session key packet is shorter than 192 bytes.
	p := msg[2+n:]
	switch {
	case p[1] < 192, p[1] >= 224 && p[1] < 255:
		return p[0] & 0x3f, p[2]
	case p[1] < 224:
		return p[0] & 0x3f, p[3]
	}
	return p[0] & 0x3f, p[6]
}

func TestSizesArePadded(t *testing.T) {
	k, _ := signer(t)
	pub, _ := user(t, true)
	sizes := map[int]bool{}
	for n := range 40 {
		// A point of a curve may be a byte shorter.
		sizes[(len(seal(t, make([]byte, 10_000+n), pub, k))+8)/64] = true
	}
	if len(sizes) > 2 {
		t.Errorf("40 lengths in a row give %d sealed sizes: %v", len(sizes), sizes)
	}
}

func TestOpenRefuses(t *testing.T) {
	k, mx := signer(t)
	_, otherMX := signer(t)
	pub, priv := user(t, true)
	_, otherPriv := user(t, true)
	good := seal(t, []byte("hello"), pub, k)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-20] ^= 1

	// A user signs an envelope to herself: her key is in the ring, but is no MX.
	l, err := openpgp.ReadKeyRing(bytes.NewReader(priv))
	if err != nil {
		t.Fatal(err)
	}
	message := func(signers []*openpgp.Entity, plain []byte) []byte {
		var b bytes.Buffer
		w, err := openpgp.Encrypt(&b, l, nil, signers, nil, &packet.Config{Time: func() time.Time { return now.Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	inner := innerOf(t, header, []byte("hello"))
	mxEntity := entity(t, k)
	var clear bytes.Buffer
	w, err := openpgp.SignWithParams(&clear, mxEntity, &openpgp.SignParams{Config: &packet.Config{Time: func() time.Time { return now }}})
	if err == nil {
		_, err = w.Write(inner)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name string
		data []byte
		priv []byte
		mx   []string
		want error
	}{
		{"good", good, priv, []string{otherMX, mx}, nil},
		{"built by hand", message(mxEntity, inner), priv, []string{mx}, nil},
		{"no MX known", good, priv, nil, envelope.ErrSigner},
		{"another MX", good, priv, []string{otherMX}, envelope.ErrSigner},
		{"not signed", message(nil, inner), priv, []string{mx}, envelope.ErrSigner},
		{"signed by the user", message(l, inner), priv, []string{mx}, envelope.ErrSigner},
		{"another user's key", good, otherPriv, []string{mx}, envelope.ErrDecrypt},
		{"a flipped bit", flipped, priv, []string{mx}, envelope.ErrDecrypt},
		{"cut off", good[:len(good)-1], priv, []string{mx}, envelope.ErrDecrypt},
		{"empty", nil, priv, []string{mx}, envelope.ErrDecrypt},
		{"signed, but in clear", clear.Bytes(), priv, []string{mx}, envelope.ErrDecrypt},
		{"not an envelope", message(mxEntity, []byte("hello")), priv, []string{mx}, envelope.ErrInner},
		{"not padded", message(mxEntity, inner[:300]), priv, []string{mx}, envelope.ErrInner},
		{"padding not zero", message(mxEntity, append(bytes.Clone(inner[:len(inner)-1]), 1)), priv, []string{mx}, envelope.ErrInner},
	} {
		_, _, err := envelope.Open(tt.data, tt.priv, tt.mx)
		if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func entity(t *testing.T, k *envelope.SigningKey) openpgp.EntityList {
	t.Helper()
	text, err := k.Private()
	if err != nil {
		t.Fatal(err)
	}
	l, err := openpgp.ReadArmoredKeyRing(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// innerOf builds the signed content as doc.go describes it.
func innerOf(tb testing.TB, h envelope.Header, raw []byte) []byte {
	tb.Helper()
	head, err := json.Marshal(h)
	if err != nil {
		tb.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32([]byte("LEM\x01"), uint32(len(head)))
	b = append(b, head...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(raw))), raw...)
	return append(b, make([]byte, max(0, 512-len(b)))...)
}

func TestOpenAfterTheKeysExpired(t *testing.T) {
	k, mx := signer(t)
	cfg := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now }, KeyLifetimeSecs: 7200}
	e, err := openpgp.NewEntity("alice", "", "alice@example.org", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var pub, priv bytes.Buffer
	if err := errors.Join(e.Serialize(&pub), e.SerializePrivateWithoutSigning(&priv, nil)); err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, []byte("x"), pub.Bytes(), k)
	if _, _, err := envelope.Open(sealed, priv.Bytes(), []string{mx}); err != nil {
		t.Errorf("stored mail does not open: %v", err)
	}
	if _, err := envelope.Seal(header, nil, pub.Bytes(), k, rand.Reader, now.Add(3*time.Hour)); err == nil {
		t.Error("sealed to an expired key")
	}
}

func TestSealRefuses(t *testing.T) {
	k, _ := signer(t)
	pub, _ := user(t, true)
	for name, key := range map[string][]byte{"none": nil, "garbage": []byte("garbage"), "two": append(bytes.Clone(pub), pub...)} {
		if _, err := envelope.Seal(header, nil, key, k, rand.Reader, now); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	long := header
	long.HELO = strings.Repeat("x", 70<<10)
	if _, err := envelope.Seal(long, nil, pub, k, rand.Reader, now); !errors.Is(err, envelope.ErrLimit) {
		t.Errorf("long header: %v", err)
	}
}

func TestSigningKey(t *testing.T) {
	k, mx := signer(t)
	text, err := k.Private()
	if err != nil {
		t.Fatal(err)
	}
	back, err := envelope.ParseSigningKey(text)
	if err != nil {
		t.Fatal(err)
	}
	pub, priv := user(t, true)
	if _, _, err := envelope.Open(seal(t, []byte("x"), pub, back), priv, []string{mx}); err != nil {
		t.Errorf("sealed with the key read back: %v", err)
	}
	for name, text := range map[string]string{"a public key": mx, "nothing": "", "garbage": "-----BEGIN"} {
		if _, err := envelope.ParseSigningKey(text); err == nil {
			t.Errorf("%s: taken as a signing key", name)
		}
	}
	// One signing key serves all of an MX's connections.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if _, err := envelope.Seal(header, []byte("x"), pub, back, rand.Reader, now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestGPG lets GnuPG decrypt an envelope and verify its signature: a user who
// exported the key can read stored mail without this program.
func TestGPG(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Skip("gpg is not installed")
	}
	k, mx := signer(t)
	pub, priv := user(t, false)
	home := t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // gpg has started an agent of its own for this directory.
		if err := exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent").Run(); err != nil {
			t.Logf("stopping gpg-agent: %v", err)
		}
	})
	run := func(in []byte, args ...string) (string, []byte) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch", "--quiet", "--trust-model", "always"}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("gpg %v: %v\n%s", args, err, errs.String())
		}
		return errs.String(), out.Bytes()
	}
	run(priv, "--import")
	run([]byte(mx), "--import")
	said, plain := run(seal(t, []byte("hello gpg"), pub, k), "--status-fd", "2", "--decrypt")
	if !strings.Contains(said, "GOODSIG") {
		t.Errorf("gpg does not confirm the signature:\n%s", said)
	}
	if want := innerOf(t, header, []byte("hello gpg")); !bytes.Equal(plain, want[:min(len(want), len(plain))]) || !bytes.Contains(plain, []byte("hello gpg")) {
		t.Errorf("gpg decrypts to %q", plain)
	}
}

func BenchmarkSeal10K(b *testing.B) {
	k, _ := signer(b)
	raw := make([]byte, 10<<10)
	for name, aead := range map[string]bool{"SEIPDv1": false, "SEIPDv2": true} {
		pub, _ := user(b, aead)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				seal(b, raw, pub, k)
			}
		})
	}
}

func BenchmarkOpen10K(b *testing.B) {
	k, mx := signer(b)
	pub, priv := user(b, true)
	data := seal(b, make([]byte, 10<<10), pub, k)
	for b.Loop() {
		if _, _, err := envelope.Open(data, priv, []string{mx}); err != nil {
			b.Fatal(err)
		}
	}
}
