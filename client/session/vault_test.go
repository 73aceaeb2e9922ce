package session_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

func credentials(t testing.TB, suite srp.Suite, login, password string) *session.Credentials {
	t.Helper()
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := srp.KDF{Name: "argon2id", T: 2, M: 19456, P: 1}
	sec, err := srp.Derive(suite, login, password, salt, k)
	if err != nil {
		t.Fatal(err)
	}
	return &session.Credentials{Suite: suite, KDF: k, Salt: salt, Secret: sec}
}

func owner() session.VaultOwner {
	return session.VaultOwner{Login: "alice", Domain: domain, UserID: "00000000000000000000000000000001"}
}

func TestVault(t *testing.T) {
	t.Parallel()
	for _, suite := range []srp.Suite{srp.SRP3072, srp.LEAP1024} {
		path := filepath.Join(t.TempDir(), "vault.json")
		cred := credentials(t, suite, "alice", "secret")
		_, dek, err := session.CreateVault(path, owner(), cred)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := session.CreateVault(path, owner(), cred); !errors.Is(err, problem.Exist) {
			t.Errorf("overwritten: %v", err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || bytes.Contains(data, dek[:]) {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		v, err := session.OpenVault(path)
		if err != nil {
			t.Fatal(err)
		}
		if v.Owner() != owner() || !v.Settled() {
			t.Errorf("vault of %+v, settled %v", v.Owner(), v.Settled())
		}
		got, cred2, err := v.Unlock("secret")
		if err != nil || got != dek || cred2.Secret.Verifier() != cred.Secret.Verifier() {
			t.Errorf("%s: unlocked %x, %v", suite, got, err)
		}
		if _, _, err := v.Unlock("Secret"); !errors.Is(err, problem.Unauthenticated) {
			t.Errorf("wrong password: %v", err)
		}
		kept := cred2.Secret.Keep()
		again, cred3, err := v.Reopen(kept)
		if err != nil || again != dek || cred3.Secret.Verifier() != cred.Secret.Verifier() || !bytes.Equal(cred3.Secret.Keep(), kept) {
			t.Errorf("%s: opened again %x, %v", suite, again, err)
		}
		if _, _, err := v.Reopen(kept[1:]); !errors.Is(err, problem.Invalid) {
			t.Errorf("with what is too short: %v", err)
		}
		kept[len(kept)-1] ^= 1
		if _, _, err := v.Reopen(kept); !errors.Is(err, problem.Unauthenticated) {
			t.Errorf("with something else: %v", err)
		}
	}
	if _, err := session.OpenVault(filepath.Join(t.TempDir(), "vault.json")); !errors.Is(err, problem.NotExist) {
		t.Errorf("no vault: %v", err)
	}
}

// TestVaultDamage cuts the file at every length and flips bits.
func TestVaultDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.json")
	if _, _, err := session.CreateVault(path, owner(), credentials(t, srp.SRP3072, "alice", "secret")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := session.OpenVault(path)
		if d, ok := errors.AsType[*session.VaultError](err); !ok || d.Path != path || d.Reason == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range good {
		refused("cut short", good[:n])
	}
	for n := range good {
		bad := bytes.Clone(good)
		bad[n] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := session.OpenVault(path); err == nil && v.Owner() != owner() {
			t.Errorf("byte %d changed: %+v", n, v.Owner())
		}
	}
}

// TestVaultOfAnother: the wraps are bound to the owner in the file.
func TestVaultOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.json")
	mallory := owner()
	mallory.UserID = "00000000000000000000000000000666"
	cred := credentials(t, srp.SRP3072, "alice", "secret")
	if _, _, err := session.CreateVault(path, mallory, cred); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = session.Forge(t, data, mallory.UserID, owner().UserID)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := session.OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Unlock("secret"); v.Owner() != owner() || !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("opened as that of %+v: %v", v.Owner(), err)
	}
}

// TestOldVaults: a vault of every version that was ever written opens.
func TestOldVaults(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vault-v1.json"} {
		v, err := session.OpenVault(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if dek, _, err := v.Unlock("correct horse"); err != nil || dek == [32]byte{} {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVault: a file is read or refused, never half read.
func FuzzVault(f *testing.F) {
	path := filepath.Join(f.TempDir(), "vault.json")
	if _, _, err := session.CreateVault(path, owner(), credentials(f, srp.SRP3072, "alice", "secret")); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"vault":{"version":1},"sum":""}`))
	f.Fuzz(func(t *testing.T, data []byte) { session.ParseVault(t, data) })
}
