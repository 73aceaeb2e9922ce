package smtpd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/smtpd"
	"leap.example/services/protocol/nick"
)

// A gpg is GnuPG with a key ring of its own.
type gpg struct{ home string }

func newGPG(t *testing.T) gpg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed: apt-get install gnupg")
	}
	// A short path: gpg-agent's socket has to fit into 107 bytes.
	home, err := os.MkdirTemp("", "gpg")
	check(t, err)
	g := gpg{home}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() // What has not started need not stop.
		os.RemoveAll(home)
	})
	return g
}

// run returns what gpg writes, and what it says.
func (g gpg) run(t *testing.T, in []byte, args ...string) (out []byte, said string) {
	t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", g.home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var b bytes.Buffer
	cmd.Stderr = &b
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, b.String())
	}
	return out, b.String()
}

func TestGPGReadsWhatIsSent(t *testing.T) {
	g := newGPG(t)
	w := start(t, nil)
	g.run(t, nil, "--quick-gen-key", "gus@leap.example", "future-default", "default", "1y")
	public, _ := g.run(t, nil, "--armor", "--export", "gus@leap.example")
	key, err := nick.ParseKey(string(public))
	check(t, err)
	w.dir.mu.Lock()
	w.dir.keys["gus@leap.example"] = key
	w.dir.mu.Unlock()
	own, err := w.keys.Own(t.Context())
	check(t, err)
	g.run(t, []byte(own.Public()), "--import")

	check(t, w.send(t, "alice@leap.example", []string{"gus@leap.example", "bob@leap.example"}, strings.Replace(letter, "To: Bob", "To: gus@leap.example, Bob", 1)))
	armored, ok := pgpmime.Encrypted(mailmime.Parse(w.relay.wait(t, 1)[0].raw))
	if !ok {
		t.Fatal("not encrypted")
	}
	plain, said := g.run(t, armored, "--decrypt")
	if !strings.Contains(said, "Good signature from \"<alice@leap.example>\"") || !bytes.Contains(plain, []byte("Subject: canary subject\r\n")) {
		t.Errorf("gpg says\n%s\nof\n%s", said, plain)
	}

	check(t, w.send(t, "alice@leap.example", []string{"dan@elsewhere.example"}, "From: alice@leap.example\nTo: dan@elsewhere.example\nSubject: s\n\nhello \nFrom me\n"))
	signed, sig, ok := pgpmime.Signed(mailmime.Parse(w.relay.wait(t, 2)[1].raw))
	if !ok {
		t.Fatal("not signed")
	}
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "sig"), sig, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "text"), signed.Raw, 0o600))
	if _, said := g.run(t, nil, "--verify", filepath.Join(dir, "sig"), filepath.Join(dir, "text")); !strings.Contains(said, "Good signature") {
		t.Errorf("gpg says\n%s", said)
	}
}

func TestSwaks(t *testing.T) {
	if _, err := exec.LookPath("swaks"); err != nil {
		t.Skip("swaks is not installed: apt-get install swaks")
	}
	w := start(t, func(c *smtpd.Config) { c.EncryptedOnly = true })
	swaks := func(args ...string) (string, error) {
		out, err := exec.Command("swaks", append([]string{"--server", w.addr, "--from", "alice@leap.example", "--helo", "canary-host", "--auth-user", "alice@leap.example", "--h-Subject", "canary", "--body", "canary"}, args...)...).CombinedOutput()
		return string(out), err
	}
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		if out, err := swaks("--auth", mech, "--auth-password", password, "--to", "bob@leap.example,carol@leap.example"); err != nil {
			t.Errorf("%s: %v\n%s", mech, err, out)
		}
	}
	if out, err := swaks("--auth", "PLAIN", "--auth-password", "wrong", "--to", "bob@leap.example"); err == nil || !strings.Contains(out, "535 5.7.8") {
		t.Errorf("a wrong password: %v\n%s", err, out)
	}
	if out, err := swaks("--auth", "PLAIN", "--auth-password", password, "--to", "dan@elsewhere.example"); err == nil || !strings.Contains(out, "550 5.7.0") {
		t.Errorf("no key: %v\n%s", err, out)
	}
	if out, err := swaks("--auth", "PLAIN", "--auth-password", password, "--pipeline", "--to", "bob@leap.example", "--attach-type", "application/x", "--attach", "@/etc/hostname"); err != nil {
		t.Errorf("pipelined: %v\n%s", err, out)
	}
	got := w.relay.wait(t, 3)
	if len(got) != 3 || bytes.Contains(got[0].raw, []byte("canary")) {
		t.Errorf("%d messages, the first:\n%s", len(got), got[0].raw)
	}
}
