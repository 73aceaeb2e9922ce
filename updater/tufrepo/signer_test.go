package tufrepo

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

func TestKeyFile(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.key.age")
	made, err := NewKeyFile("a", path, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadKeyFile(path, id)
	if err != nil || read.Public().ID() != made.Public().ID() {
		t.Errorf("got %v, %v", read, err)
	}
	if _, err := ReadKeyFile(path, stranger); !errors.Is(err, ErrKey) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := NewKeyFile("a", path, id.Recipient()); !errors.Is(err, ErrExists) {
		t.Errorf("a second one: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, made.private.Seed()) {
		t.Error("the key is in the file as it is")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPublicKey("a", p384.Public()); !errors.Is(err, ErrKey) {
		t.Errorf("P-384: %v", err)
	}
}
