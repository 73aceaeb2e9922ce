package keymanager_test

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/client/keymanager"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func (u user) find(t *testing.T, a nick.Address) nick.Key {
	t.Helper()
	key, _, err := u.Find(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (u user) encrypt(t *testing.T, text string, to ...nick.Key) []byte {
	t.Helper()
	out, err := u.EncryptSign(t.Context(), []byte(text), to)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seipd returns the version of the encrypted packet of a message.
func seipd(t *testing.T, message []byte) int {
	t.Helper()
	block, err := armor.Decode(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	packets := packet.NewReader(block.Body)
	for {
		p, err := packets.Next()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := p.(*packet.SymmetricallyEncrypted); ok {
			return s.Version
		}
	}
}

func TestMail(t *testing.T) {
	alice, bob, _, c := correspond(t)
	message := alice.encrypt(t, "hello", alice.find(t, "bob+list@example.org"))
	if v := seipd(t, message); v != 2 {
		t.Errorf("SEIPD version %d between two of us", v)
	}
	old := newPair(t, c, 0, "carol@example.org").key
	if v := seipd(t, alice.encrypt(t, "hello", old)); v != 1 {
		t.Errorf("SEIPD version %d to one who does not announce 2", v)
	}

	plain, sig, err := bob.Decrypt(t.Context(), message)
	if err != nil || string(plain) != "hello" || sig.State != keymanager.SigUnknown {
		t.Errorf("sender unknown: %q, %v, %v", plain, sig, err)
	}
	bob.find(t, "alice@example.org")
	plain, sig, err = bob.Decrypt(t.Context(), message)
	want := keymanager.Signature{State: keymanager.SigValid, Fingerprint: alice.own.Fingerprint()}
	if err != nil || string(plain) != "hello" || sig != want {
		t.Errorf("sender known: %q, %v, %v", plain, sig, err)
	}
	block, err := armor.Decode(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	var binary bytes.Buffer
	if _, err := binary.ReadFrom(block.Body); err != nil {
		t.Fatal(err)
	}
	if plain, sig, err := bob.Decrypt(t.Context(), binary.Bytes()); err != nil || string(plain) != "hello" || sig != want {
		t.Errorf("binary: %q, %v, %v", plain, sig, err)
	}
	// Years later the message is still readable, and the signature good.
	c.add(10 * 365 * 24 * time.Hour)
	if plain, sig, err := bob.Decrypt(t.Context(), message); err != nil || string(plain) != "hello" || sig != want {
		t.Errorf("later: %q, %v, %v", plain, sig, err)
	}
	if _, err := alice.EncryptSign(t.Context(), []byte("x"), []nick.Key{bob.own.Key()}); err == nil {
		t.Error("encrypted to an expired key")
	}
}

func TestDecryptRefuses(t *testing.T) {
	alice, bob, _, c := correspond(t)
	message := alice.encrypt(t, "hello", bob.own.Key())
	damaged := bytes.Clone(message)
	middle := bytes.IndexByte(damaged, '\n') + len(damaged)/2
	for damaged[middle] == '\n' {
		middle++
	}
	damaged[middle] ^= 1
	var clear bytes.Buffer
	w, err := openpgp.Sign(&clear, []*openpgp.Entity{newPair(t, c, 0, "carol@example.org").e}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string][]byte{
		"not for her":  alice.encrypt(t, "hello", newPair(t, c, 0, "carol@example.org").key),
		"damaged":      damaged,
		"cut short":    message[:len(message)/2],
		"not openpgp":  []byte("hello"),
		"empty":        nil,
		"only signed":  clear.Bytes(),
		"a public key": []byte(alice.own.Public()),
	} {
		if plain, _, err := bob.Decrypt(t.Context(), m); !errors.Is(err, keymanager.ErrDecrypt) || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	if _, err := alice.EncryptSign(t.Context(), nil, nil); !errors.Is(err, problem.Invalid) {
		t.Errorf("to nobody: %v", err)
	}
}

func TestDetached(t *testing.T) {
	alice, bob, d, c := correspond(t)
	data := []byte("Content-Type: text/plain\r\n\r\nhello\r\n")
	sig, hash, err := alice.Sign(t.Context(), data)
	if err != nil || hash != "SHA512" || !strings.HasPrefix(string(sig), "-----BEGIN PGP SIGNATURE-----") {
		t.Fatalf("signature %s %.40s, %v", hash, sig, err)
	}
	valid := keymanager.Signature{State: keymanager.SigValid, Fingerprint: alice.own.Fingerprint()}
	d.set("dave@example.org", nick.Key{}, nick.NoTrust, problem.Unavailable)
	bob.find(t, "alice@example.org")
	for _, tt := range []struct {
		name      string
		data, sig []byte
		from      nick.Address
		want      keymanager.Signature
	}{
		{"good", data, sig, "alice@example.org", valid},
		{"good, suffix", data, sig, "alice+x@example.org", valid},
		{"changed", append(data, ' '), sig, "alice@example.org", keymanager.Signature{State: keymanager.SigInvalid}},
		{"another sender", data, sig, "bob@example.org", keymanager.Signature{State: keymanager.SigUnknown}},
		{"no key", data, sig, "carol@example.org", keymanager.Signature{State: keymanager.SigUnknown}},
		{"key not to be had", data, sig, "dave@example.org", keymanager.Signature{State: keymanager.SigUnknown}},
		{"no signature", data, []byte("hello"), "alice@example.org", keymanager.Signature{State: keymanager.SigInvalid}},
		{"broken armor", data, sig[:40], "alice@example.org", keymanager.Signature{State: keymanager.SigInvalid}},
		{"empty", data, nil, "alice@example.org", keymanager.Signature{State: keymanager.SigInvalid}},
	} {
		if got := bob.VerifyDetached(t.Context(), tt.data, tt.sig, tt.from); got != tt.want {
			t.Errorf("%s: %v (%v), want %v", tt.name, got, got.State, tt.want)
		}
	}
	if got := alice.VerifyDetached(t.Context(), data, sig, "alice@example.org"); got != valid {
		t.Errorf("own signature: %v", got)
	}
	c.add(10 * 365 * 24 * time.Hour)
	if got := bob.VerifyDetached(t.Context(), data, sig, "alice@example.org"); got != valid {
		t.Errorf("years later: %v (%v)", got, got.State)
	}
}

// TestUse: who was written to and was heard from is a known key.
func TestUse(t *testing.T) {
	alice, bob, _, _ := correspond(t)
	level := func() nick.Level {
		t.Helper()
		_, l, err := alice.Find(t.Context(), "bob@example.org")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := level(); l != nick.Endorsed {
		t.Errorf("at first %v", l)
	}
	alice.encrypt(t, "hello", alice.find(t, "bob@example.org"))
	if l := level(); l != nick.Endorsed {
		t.Errorf("after writing %v", l)
	}
	if _, _, err := alice.Decrypt(t.Context(), bob.encrypt(t, "hi", alice.own.Key())); err != nil {
		t.Fatal(err)
	}
	if l := level(); l != nick.UsedBoth {
		t.Errorf("after the answer %v", l)
	}
	list, err := alice.List(t.Context())
	if err != nil || len(list) != 2 || !list[0].Own || list[0].Fingerprint != alice.own.Fingerprint() ||
		list[1].Address != "bob@example.org" || list[1].Level != nick.UsedBoth || list[1].Own {
		t.Errorf("list %+v, %v", list, err)
	}
}

// TestForeignSubkey: a key that names another's primary key as its subkey does
// not take over his signatures.
func TestForeignSubkey(t *testing.T) {
	alice, bob, _, c := correspond(t)
	bob.find(t, "alice@example.org")
	thief := newPair(t, c, 0, "mallory@example.org")
	list, err := openpgp.ReadKeyRing(bytes.NewReader(alice.own.Key().Binary))
	if err != nil {
		t.Fatal(err)
	}
	stolen := *list[0].PrimaryKey
	stolen.IsSubkey = true
	life := uint32(0)
	bind := &packet.Signature{
		Version: 4, SigType: packet.SigTypeSubkeyBinding, PubKeyAlgo: thief.e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: c.now(), IssuerKeyId: &thief.e.PrimaryKey.KeyId, FlagsValid: true, FlagSign: true, KeyLifetimeSecs: &life,
	}
	if err := bind.SignKey(&stolen, thief.e.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
	thief.e.Subkeys = append(thief.e.Subkeys, openpgp.Subkey{
		Primary: thief.e, PublicKey: &stolen, Bindings: []*packet.VerifiableSignature{packet.NewVerifiableSig(bind)},
	})
	if err := bob.Learn(t.Context(), "mallory@example.org", public(t, thief.e).Armored, nick.Seen); err != nil {
		t.Fatal(err)
	}
	_, sig, err := bob.Decrypt(t.Context(), alice.encrypt(t, "hello", bob.own.Key()))
	if err != nil || sig.Fingerprint != alice.own.Fingerprint() {
		t.Errorf("signature of alice: %v, %v", sig, err)
	}
}
