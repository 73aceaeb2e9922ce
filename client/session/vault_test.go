package session_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
	}
	if _, err := session.OpenVault(filepath.Join(t.TempDir(), "vault.json")); !errors.Is(err, problem.NotExist) {
		t.Errorf("no vault: %v", err)
	}
}

// TestVaultDamage cuts the file at every length and flips bits.
func TestVaultDamage(t *testing.T) {
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

// keyring is a session.Keyring in memory that can fail.
type keyring struct {
	wraps [][32]byte
	calls int
	fail  int // The number of the call that fails; 0: none.
}

func (k *keyring) Rewrap(_ context.Context, wraps ...[32]byte) error {
	if k.calls++; k.calls == k.fail {
		return problem.Unavailable.Errorf("power cut")
	}
	k.wraps = wraps
	return nil
}

func (k *keyring) opens(c *session.Credentials) bool {
	for _, w := range k.wraps {
		if w == c.Secret.WrapKey() {
			return true
		}
	}
	return false
}

// TestChangePassword interrupts a password change at every step and checks
// that the password which the provider has opens everything.
func TestChangePassword(t *testing.T) {
	lost := func(f *fake) {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			f.mux().ServeHTTP(&statusWriter{ResponseWriter: discard{}}, r)
			panic(http.ErrAbortHandler) // The answer never arrives.
		}
	}
	for _, tt := range []struct {
		name    string
		failAt  int
		spoil   func(*fake)
		works   string // The password that the provider has afterwards.
		err     bool
		settled bool
	}{
		{"undisturbed", 0, nil, "new", false, true},
		{"key ring not stored", 1, nil, "secret", true, false},
		{"key ring not settled", 2, nil, "new", true, false},
		{"reply lost", 0, lost, "new", true, false},
		{"request lost", 0, func(f *fake) {
			f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					panic(http.ErrAbortHandler)
				}
				return false
			}
		}, "secret", true, false},
		{"refused", 0, func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					w.WriteHeader(403)
				}
				return r.Method == http.MethodPut
			}
		}, "secret", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, false)
			p := f.bootstrap(t, f.options())
			f.addUser(t, srp.SRP3072, "alice", "secret")
			s, err := p.Login(t.Context(), session.Account{Login: "alice"}, "secret")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "vault.json")
			v, dek, err := session.CreateVault(path, owner(), s.Credentials())
			if err != nil {
				t.Fatal(err)
			}
			k := &keyring{wraps: [][32]byte{s.Credentials().Secret.WrapKey()}, fail: tt.failAt}
			f.set(func() {
				if tt.spoil != nil {
					tt.spoil(f)
				}
			})
			if err := s.ChangePassword(t.Context(), "new", v, dek, k); (err != nil) != tt.err {
				t.Errorf("change: %v", err)
			}
			f.set(func() { f.intercept = nil })

			// Another start of the program.
			v, err = session.OpenVault(path)
			if err != nil {
				t.Fatal(err)
			}
			if v.Settled() != tt.settled {
				t.Errorf("settled: %v, want %v", v.Settled(), tt.settled)
			}
			got, cred, err := v.Unlock(tt.works)
			if err != nil || got != dek {
				t.Fatalf("vault does not open with %q: %v", tt.works, err)
			}
			if !k.opens(cred) {
				t.Errorf("key ring does not open with %q", tt.works)
			}
			s, err = p.Login(t.Context(), session.Account{Login: "alice", Known: cred}, tt.works)
			if err != nil {
				t.Fatalf("login with %q: %v", tt.works, err)
			}
			if err := s.Settle(t.Context(), v, dek, k); err != nil || !v.Settled() || len(k.wraps) != 1 || !k.opens(s.Credentials()) {
				t.Errorf("settle: %v, %d wraps", err, len(k.wraps))
			}
			other := map[string]string{"new": "secret", "secret": "new"}[tt.works]
			if _, _, err := v.Unlock(other); !errors.Is(err, problem.Unauthenticated) {
				t.Errorf("vault still opens with %q: %v", other, err)
			}
		})
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// TestNoSecretsInErrors plants a password and looks for it.
func TestNoSecretsInErrors(t *testing.T) {
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	const canary = "canary-7f3a91c2"
	_, err1 := p.Login(t.Context(), session.Account{Login: "alice"}, canary)
	path := filepath.Join(t.TempDir(), "vault.json")
	v, _, err := session.CreateVault(path, owner(), credentials(t, srp.SRP3072, "alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err2 := v.Unlock(canary)
	for _, err := range []error{err1, err2} {
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v", err)
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
