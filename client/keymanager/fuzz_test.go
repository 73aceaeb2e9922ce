package keymanager_test

import (
	"errors"
	"path/filepath"
	"testing"

	"leap.example/client/keymanager"
	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
)

// FuzzMessage: whatever a stranger sends is opened or refused with one error,
// and a signature by nobody is never valid.
func FuzzMessage(f *testing.F) {
	store, err := soledad.Open(f.Context(), filepath.Join(f.TempDir(), "store"), [32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := store.Close(); err != nil {
			f.Error(err)
		}
	})
	k := keymanager.New(store, newDirectory(), "alice@example.org", newClock().now)
	own, err := k.Create(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	message, err := k.EncryptSign(f.Context(), []byte("hello"), []nick.Key{own.Key()})
	if err != nil {
		f.Fatal(err)
	}
	sig, _, err := k.Sign(f.Context(), []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add(sig)
	f.Add([]byte("-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := k.Decrypt(t.Context(), data); err != nil && !errors.Is(err, keymanager.ErrDecrypt) {
			t.Errorf("decrypt: %v", err)
		}
		if s := k.VerifyDetached(t.Context(), []byte("other text"), data, "alice@example.org"); s.State == keymanager.SigValid {
			t.Error("a signature over another text is valid")
		}
		if err := k.Learn(t.Context(), "bob@example.org", string(data), nick.Seen); err == nil {
			t.Log("learnt a key")
		}
	})
}
