package keymanager_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/client/keymanager"
	"leap.example/services/protocol/nick"
)

// gpg runs GnuPG in a home directory of its own.
type gpg struct{ home string }

func newGPG(t *testing.T) gpg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gnupg is not installed")
	}
	home, err := os.MkdirTemp("", "gpg") // Short: the agent's socket lies in it.
	if err != nil {
		t.Fatal(err)
	}
	g := gpg{home}
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput(); err != nil {
			t.Logf("gpgconf: %v: %s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Log(err) // The agent may be removing its sockets.
		}
	})
	return g
}

func (g gpg) run(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	args = append([]string{"--homedir", g.home, "--batch", "--yes", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", "--trust-model", "always"}, args...)
	cmd := exec.CommandContext(t.Context(), "gpg", args...)
	cmd.Stdin = bytes.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return out.Bytes()
}

// TestGnuPG exchanges keys, mail and signatures with GnuPG.
func TestGnuPG(t *testing.T) {
	g := newGPG(t)
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	g.run(t, []byte(alice.own.Public()), "--import")
	g.run(t, nil, "--quick-generate-key", "bob@example.org", "default", "default", "never")
	bob, err := nick.ParseKey(string(g.run(t, nil, "--armor", "--export", "bob@example.org")))
	if err != nil {
		t.Fatal(err)
	}
	d.set("bob@example.org", bob, nick.Endorsed, nil)
	c.add(time.Minute) // GnuPG's clock went on.

	// To us.
	valid := keymanager.Signature{State: keymanager.SigValid, Fingerprint: bob.Fingerprint}
	message := g.run(t, []byte("to alice"), "--armor", "--local-user", "bob@example.org", "--recipient", "alice@example.org", "--sign", "--encrypt")
	key := alice.find(t, "bob@example.org")
	if plain, sig, err := alice.Decrypt(t.Context(), message); err != nil || string(plain) != "to alice" || sig != valid {
		t.Errorf("gpg to us: %q, %v, %v", plain, sig.State, err)
	}
	detached := g.run(t, []byte("signed\r\n"), "--armor", "--local-user", "bob@example.org", "--detach-sign")
	if sig := alice.VerifyDetached(t.Context(), []byte("signed\r\n"), detached, "bob@example.org"); sig != valid {
		t.Errorf("gpg signs: %v", sig.State)
	}

	// From us.
	if plain := g.run(t, alice.encrypt(t, "to bob", key), "--decrypt"); string(plain) != "to bob" {
		t.Errorf("we to gpg: %q", plain)
	}
	data := []byte("Content-Type: text/plain\r\n\r\nhello\r\n")
	sig, _, err := alice.Sign(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sig.asc")
	if err := os.WriteFile(path, sig, 0o600); err != nil {
		t.Fatal(err)
	}
	out := g.run(t, data, "--status-fd", "1", "--verify", path, "-")
	if !bytes.Contains(out, []byte("VALIDSIG "+strings.ToUpper(alice.own.Fingerprint()))) {
		t.Errorf("gpg verifies: %s", out)
	}

	// A key that is extended is the same key to GnuPG, with a later end.
	c.add(700 * day)
	longer, err := alice.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := g.run(t, []byte(longer.Public()), "--with-colons", "--show-keys")
	if !bytes.Contains(listed, []byte(":"+strings.ToUpper(alice.own.Fingerprint())+":")) {
		t.Errorf("extended key: %s", listed)
	}
}
