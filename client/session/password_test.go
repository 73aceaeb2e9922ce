package session_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

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
	t.Parallel()
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

// discard is a http.ResponseWriter whose answer nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// TestNoSecretsInErrors plants a password and looks for it.
func TestNoSecretsInErrors(t *testing.T) {
	t.Parallel()
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
