package interop

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"leap.example/services/protocol/nick"
	"leap.example/tests/e2e/process"
)

// A gpg is GnuPG in a home directory of its own.
type gpg struct{ home string }

func newGPG(t *testing.T) gpg {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // Short: the agent's socket lies in it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput(); err != nil {
			t.Logf("gpgconf: %v: %s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Log(err) // The agent may be removing its sockets.
		}
	})
	return gpg{home}
}

func (g gpg) argv(args ...string) []string {
	return append([]string{
		"/usr/bin/gpg", "--homedir", g.home, "--batch", "--yes", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", "--trust-model", "always",
	}, args...)
}

func (g gpg) run(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	return run(t, stdin, g.argv(args...)...)
}

// fingerprint returns that of the one key in a block.
func (g gpg) fingerprint(t *testing.T, block []byte) string {
	t.Helper()
	for line := range strings.Lines(string(g.run(t, block, "--with-colons", "--show-keys"))) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9] // The first is the primary key's.
		}
	}
	t.Fatal("gpg sees no key")
	return ""
}

// findsKey looks a key up by the nickserver and by both methods of the Web Key
// Directory. GnuPG finds the same key in all of them, and can encrypt to it.
func findsKey(t *testing.T, p *process.Provider, a *person) {
	var reply struct{ Address, OpenPGP string }
	if err := json.Unmarshal(curl(t, p, p.At.Nickserver+"/?address="+url.QueryEscape(a.address)), &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Address != a.address {
		t.Errorf("the nickserver answers for %q", reply.Address)
	}
	direct, err := url.Parse(p.At.WKD)
	if err != nil {
		t.Fatal(err)
	}
	direct.Host = p.At.Domain + ":" + direct.Port()
	hu := "/hu/" + nick.WKDHash(a.login) + "?l=" + a.login
	for method, block := range map[string][]byte{
		"nickserver":   []byte(reply.OpenPGP),
		"WKD advanced": curl(t, p, p.At.WKD+"/.well-known/openpgpkey/"+p.At.Domain+hu),
		"WKD direct":   curl(t, p, direct.String()+"/.well-known/openpgpkey"+hu),
	} {
		other := newGPG(t)
		if got := other.fingerprint(t, block); got != a.fingerprint {
			t.Errorf("%s: the key is %s, want %s", method, got, a.fingerprint)
		}
		other.run(t, block, "--import")
		sealed := other.run(t, []byte("for you"), "--recipient", a.address, "--encrypt")
		if got := a.gpg.run(t, sealed, "--decrypt"); string(got) != "for you" {
			t.Errorf("%s: what was encrypted to the key is %q", method, got)
		}
	}
	if policy := curl(t, p, p.At.WKD+"/.well-known/openpgpkey/"+p.At.Domain+"/policy"); bytes.Contains(policy, []byte("<")) {
		t.Errorf("the policy is %q", policy)
	}
}
