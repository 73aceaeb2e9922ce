package node_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"leap.example/appliance/node"
)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func TestSign(t *testing.T) {
	s := node.Sign(key(1), node.ForDocument, []byte("text"))
	if text, err := s.Open(public(key(1)), node.ForDocument); err != nil || string(text) != "text" {
		t.Errorf("opened as %q, %v", text, err)
	}
	changed := node.Signed{Text: []byte("Text"), Signature: s.Signature}
	for name, open := range map[string]func() ([]byte, error){
		"another key":     func() ([]byte, error) { return s.Open(public(key(2)), node.ForDocument) },
		"another purpose": func() ([]byte, error) { return s.Open(public(key(1)), node.ForIdentity) },
		"another text":    func() ([]byte, error) { return changed.Open(public(key(1)), node.ForDocument) },
		"no key":          func() ([]byte, error) { return s.Open(nil, node.ForDocument) },
		"no signature":    func() ([]byte, error) { return node.Signed{Text: s.Text}.Open(public(key(1)), node.ForDocument) },
	} {
		if text, err := open(); !errors.Is(err, node.ErrSignature) || text != nil {
			t.Errorf("%s: opened as %q, %v", name, text, err)
		}
	}
}

func TestBundle(t *testing.T) {
	d := node.Document{Secrets: map[string]string{"a": node.SecretDigest([]byte("A")), "b": node.SecretDigest([]byte("B")), "c": node.SecretDigest([]byte("C"))}}
	b := node.Bundle{Secrets: map[string][]byte{"a": []byte("A")}}
	missing, err := b.Missing(d, func(digest string) bool {
		return digest == d.Secrets["b"] || digest == node.SecretDigest([]byte("old"))
	})
	if err != nil || !slices.Equal(missing, []string{"c"}) {
		t.Errorf("missing are %v, %v", missing, err)
	}
	for name, secrets := range map[string]map[string][]byte{"wrong": {"a": []byte("B")}, "unknown": {"d": []byte("D")}} {
		_, err := node.Bundle{Secrets: secrets}.Missing(d, nil)
		if err == nil || strings.Contains(err.Error(), "B") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func identity(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(node.Identity{
		Schema: node.Schema, Provider: "demo.example", Node: "mail1", Signer: public(key(1)), Interface: node.Interface{Name: "eth0", DHCP: true},
		Agent: node.Agent{Port: 4499, OperatorCA: "-----BEGIN CERTIFICATE-----"}, Certificate: "cert", Key: "key",
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestIdentity(t *testing.T) {
	id, err := node.ParseIdentity(identity(t))
	if err != nil || id.Node != "mail1" || !bytes.Equal(id.Signer, public(key(1))) {
		t.Errorf("read %+v, %v", id, err)
	}
	for old, want := range map[string]string{
		`"schema":1`: "/schema", `"signer":"`: "/signer", `"dhcp":true`: "/interface", `"port":4499`: "/agent/port", `"key":"key"`: "/certificate",
	} {
		short := map[string]string{`"schema":1`: `"schema":0`, `"signer":"`: `"signer":"AAAA`, `"dhcp":true`: `"dhcp":false`, `"port":4499`: `"port":0`, `"key":"key"`: `"key":""`}[old]
		_, err := node.ParseIdentity([]byte(strings.Replace(string(identity(t)), old, short, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, which is not about %s", short, err, want)
		}
	}
}

func TestIdentityDisk(t *testing.T) {
	s := node.Sign(key(1), node.ForIdentity, identity(t))
	disk, err := node.IdentityDisk(s)
	if err != nil || len(disk) != node.IdentityDiskSize {
		t.Fatalf("%d bytes, %v", len(disk), err)
	}
	read, err := node.ReadIdentityDisk(disk)
	if err != nil || !bytes.Equal(read.Text, s.Text) || !bytes.Equal(read.Signature, s.Signature) {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, err := node.ReadIdentityDisk(make([]byte, 4096)); !errors.Is(err, node.ErrNoIdentity) {
		t.Errorf("an empty disk: %v", err)
	}
	for name, short := range map[string][]byte{"cut": disk[:100], "zeroed": append(slices.Clone(disk[:20]), make([]byte, 4096)...)} {
		if _, err := node.ReadIdentityDisk(short); !errors.Is(err, node.ErrIdentityDisk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := node.IdentityDisk(node.Signed{Text: make([]byte, node.IdentityDiskSize)}); err == nil {
		t.Error("an identity that is too large was written")
	}
}

// FuzzReadIdentityDisk looks for panics, and for disks that are read but not as
// they were written.
func FuzzReadIdentityDisk(f *testing.F) {
	disk, err := node.IdentityDisk(node.Sign(key(1), node.ForIdentity, identity(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(disk[:1500])
	f.Fuzz(func(t *testing.T, disk []byte) {
		s, err := node.ReadIdentityDisk(disk)
		if err != nil {
			return
		}
		again, err := node.IdentityDisk(s)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := node.ReadIdentityDisk(again); err != nil || !bytes.Equal(read.Text, s.Text) {
			t.Errorf("read again: %v", err)
		}
		_, _ = node.ParseIdentity(s.Text) // It must not panic.
	})
}

func TestGuessable(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, "hunter2": true, strings.Repeat("ab", 40): true, "  short and spaces    ": true,
		"NXq2b0pV1rLZ8sJ4mC7t": false, "0123456789abcdef0123456789abcdef": false,
	} {
		if got := node.Guessable([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
