package keymanager_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/client/keymanager"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestOwnKey(t *testing.T) {
	c := newClock()
	k := keymanager.New(openStore(t), newDirectory(), "alice+list@example.org", c.now)
	if _, err := k.Own(t.Context()); !errors.Is(err, problem.NotExist) {
		t.Errorf("before Create: %v", err)
	}
	// Two goroutines make one key.
	var wg sync.WaitGroup
	made := make([]string, 2)
	for i := range made {
		wg.Go(func() {
			own, err := k.Create(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = own.Fingerprint()
		})
	}
	wg.Wait()
	own, err := k.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if made[0] != own.Fingerprint() || made[1] != own.Fingerprint() {
		t.Errorf("made %v, own is %s", made, own.Fingerprint())
	}
	key, err := nick.ParseKey(own.Public())
	if err != nil || !key.Has("alice@example.org") || len(key.Addresses) != 1 {
		t.Errorf("public key of %v, %v", key.Addresses, err)
	}
	list, err := openpgp.ReadKeyRing(bytes.NewReader(key.Binary))
	if err != nil {
		t.Fatal(err)
	}
	e := list[0]
	sig, err := e.PrimarySelfSignature(c.now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.PrimaryKey.Version != 4 || e.PrimaryKey.PubKeyAlgo != packet.PubKeyAlgoEdDSA || e.Subkeys[0].PublicKey.PubKeyAlgo != packet.PubKeyAlgoECDH {
		t.Errorf("version %d, algorithms %d, %d", e.PrimaryKey.Version, e.PrimaryKey.PubKeyAlgo, e.Subkeys[0].PublicKey.PubKeyAlgo)
	}
	if !sig.SEIPDv2 || !sig.SEIPDv1 || len(sig.PreferredCipherSuites) == 0 {
		t.Error("SEIPDv2 is not announced")
	}

	// The key is extended when less than 60 days are left, and stays the same.
	c.add(own.Key().Expires.Sub(c.now()) - 61*24*time.Hour)
	same, err := k.Own(t.Context())
	if err != nil || !same.Key().Expires.Equal(own.Key().Expires) {
		t.Errorf("61 days before: expires %s, %v", same.Key().Expires, err)
	}
	c.add(2 * 24 * time.Hour)
	longer, err := k.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := c.now().Add(2 * 365 * 24 * time.Hour); !longer.Key().Expires.Equal(want) || longer.Fingerprint() != own.Fingerprint() {
		t.Errorf("59 days before: expires %s, want %s", longer.Key().Expires, want)
	}
	again, err := k.Own(t.Context())
	if err != nil || again.Public() != longer.Public() {
		t.Errorf("extended twice: %v", err)
	}
}

// publisher is a keymanager.Publisher.
type publisher struct {
	got []string
	err error
}

func (p *publisher) PublishKey(_ context.Context, armored string) error {
	p.got = append(p.got, armored)
	return p.err
}

func TestPublish(t *testing.T) {
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	var p publisher
	if err := alice.Publish(t.Context(), &p); err != nil || len(p.got) != 1 || p.got[0] != alice.own.Public() {
		t.Errorf("published %d keys, %v", len(p.got), err)
	}
	d.set("alice@example.org", alice.own.Key(), nick.Endorsed, nil)
	if err := alice.Publish(t.Context(), &p); err != nil || len(p.got) != 1 {
		t.Errorf("published again: %v", err)
	}
	d.set("alice@example.org", newPair(t, c, 0, "alice@example.org").key, nick.Endorsed, nil)
	p.err = problem.Unavailable
	if err := alice.Publish(t.Context(), &p); !errors.Is(err, problem.Unavailable) || len(p.got) != 2 {
		t.Errorf("another key is published: %v", err)
	}
}

func TestOpenEnvelope(t *testing.T) {
	alice, bob, _, c := correspond(t)
	mx, err := envelope.NewSigningKey("mx1.example.org", nil, c.now())
	if err != nil {
		t.Fatal(err)
	}
	mxPublic, err := mx.Public()
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte("Subject: hello\r\n\r\nworld\r\n")
	sealed, err := envelope.Seal(envelope.Header{V: 1, To: "alice@example.org"}, raw, alice.own.Key().Binary, mx, nil, c.now())
	if err != nil {
		t.Fatal(err)
	}
	h, got, err := alice.OpenEnvelope(t.Context(), sealed, []string{mxPublic})
	if err != nil || !bytes.Equal(got, raw) || h.To != "alice@example.org" {
		t.Errorf("got %q, %+v, %v", got, h, err)
	}
	if _, _, err := alice.OpenEnvelope(t.Context(), sealed, []string{bob.own.Public()}); !errors.Is(err, envelope.ErrSigner) {
		t.Errorf("sealed by a stranger: %v", err)
	}
	if _, _, err := bob.OpenEnvelope(t.Context(), sealed, []string{mxPublic}); !errors.Is(err, envelope.ErrDecrypt) {
		t.Errorf("another's mail: %v", err)
	}
}
