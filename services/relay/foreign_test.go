package relay_test

import (
	"crypto"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/smtpline"
)

// program returns the path of a Debian program, or skips the test.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("the Debian package %s is not installed", pkg)
	}
	return path
}

// output runs a program.
func output(t *testing.T, stdin, path string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// aliceFiles writes alice's certificate and key.
func (s *site) aliceFiles() (cert, key string) {
	o := s.office
	return s.file("alice.pem", certs.EncodeCert(o.alice.Leaf.Raw)), s.key("alice.key", o.alice.PrivateKey.(crypto.Signer))
}

func TestSwaks(t *testing.T) {
	swaks := program(t, "swaks", "swaks")
	s := start(t)
	cert, key := s.aliceFiles()
	common := []string{"--from", "alice@example.org", "--to", "carol@dest.example", "--header", "Subject: by swaks"}
	for _, tt := range []struct {
		name string
		args []string
		ok   bool
		want string
	}{
		{"certificate", []string{"--server", s.tls, "--tls-on-connect", "--tls-cert", cert, "--tls-key", key}, true, "250 2.0.0 Queued as"},
		{"token", []string{"--server", s.starttls, "--tls", "--auth", "PLAIN", "--auth-user", "alice@example.org", "--auth-password", aliceToken}, true, "250 2.0.0 Queued as"},
		{"wrong token", []string{"--server", s.starttls, "--tls", "--auth", "PLAIN", "--auth-user", "alice@example.org", "--auth-password", "x"}, false, "535 5.7.8"},
		{"nobody", []string{"--server", s.tls, "--tls-on-connect"}, false, "530 5.7.0"},
		{"forged sender", []string{"--server", s.tls, "--tls-on-connect", "--tls-cert", cert, "--tls-key", key, "--h-From", "bob@example.org"}, false, "553 5.7.1"},
	} {
		out, ok := output(t, "", swaks, append(common, tt.args...)...)
		if ok != tt.ok || !strings.Contains(out, tt.want) {
			t.Errorf("%s: want %q in\n%s", tt.name, tt.want, out)
		}
	}
	s.empty()
	for _, d := range s.world.deliveries() {
		if strings.Contains(d.raw, "X-Mailer") || !strings.Contains(d.raw, "Subject: by swaks") {
			t.Errorf("came out as\n%s", d.raw)
		}
	}
}

// TestOpenSSL speaks by hand through openssl with a client certificate.
func TestOpenSSL(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	s := start(t)
	cert, key := s.aliceFiles()
	dialog := strings.Join([]string{
		"EHLO laptop", "MAIL FROM:<alice@example.org>", "RCPT TO:<carol@dest.example>", "DATA",
		"From: alice@example.org", "Subject: by hand", "", "text", ".", "QUIT", "",
	}, "\n")
	out, _ := output(t, dialog, openssl, "s_client", "-connect", s.tls, "-cert", cert, "-key", key, "-CAfile", s.cfg.ClientCAFile,
		"-verify_return_error", "-quiet", "-crlf", "-ign_eof")
	if !strings.Contains(out, "250 2.0.0 Queued as") {
		t.Errorf("dialog:\n%s", out)
	}
	if d := s.world.wait(1)[0]; !strings.Contains(d.raw, "Subject: by hand\r\n\r\ntext\r\n") {
		t.Errorf("came out as\n%s", d.raw)
	}
}

// TestDKIMPython has python3-dkim verify both signatures.
func TestDKIMPython(t *testing.T) {
	python := "/usr/bin/python3"
	if _, ok := output(t, "", python, "-c", "import dkim, nacl"); !ok {
		t.Skip("the Debian packages python3-dkim and python3-nacl are not installed")
	}
	s := start(t)
	s.submit(mail("signed", "one\t two  \r\n.\r\n\r\n\r\n"), "carol@dest.example")
	raw := s.world.wait(1)[0].text()
	script := `
import sys, dkim
records = dict(line.split(None, 2)[::2] for line in open(sys.argv[1]).read().splitlines())
def txt(name, timeout=5):
    return "".join(records[name.decode()].split('"')[1::2]).encode()
d = dkim.DKIM(sys.stdin.buffer.read())
for i in range(2):
    print(d.verify(idx=i, dnsfunc=txt))
`
	records := s.file("records", []byte(strings.Join(s.office.dkimRecords(), "\n")))
	if out, _ := output(t, raw, python, "-c", script, records); out != "True\nTrue\n" {
		t.Errorf("python3-dkim says %s of\n%s", out, raw)
	}
	if out, _ := output(t, strings.Replace(raw, "signed", "Signed", 1), python, "-c", script, records); out != "False\nFalse\n" {
		t.Errorf("python3-dkim says of a changed message: %s", out)
	}
}

// TestDKIMOpenDKIM has opendkim verify the signatures.
func TestDKIMOpenDKIM(t *testing.T) {
	opendkim := "/usr/sbin/opendkim"
	if _, err := os.Stat(opendkim); err != nil {
		t.Skip("the Debian package opendkim is not installed")
	}
	s := start(t)
	s.submit(mail("signed", "one\t two  \r\n.\r\n\r\n\r\n"), "carol@dest.example")
	raw := s.world.wait(1)[0].text()
	var keys strings.Builder
	for _, line := range s.office.dkimRecords() {
		name, value, _ := strings.Cut(line, ". TXT ")
		keys.WriteString(name + " " + strings.ReplaceAll(strings.Trim(value, `"`), `" "`, "") + "\n")
	}
	file := s.file("keys", []byte(keys.String()))
	conf := s.file("opendkim.conf", []byte("Mode v\nTestPublicKeys "+file+"\nUserID root\n"))
	h, body, err := smtpline.ParseHeader([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, selector := range []string{"r1", "e1"} { // It reports on one signature.
		one := h.AppendWithout(nil, func(f smtpline.Field) bool {
			return f.Is("DKIM-Signature") && !strings.Contains(f.Value(), "s="+selector+";")
		})
		msg := s.file(selector+".eml", slices.Concat(one, []byte("\r\n"), body))
		out, ok := output(t, "", opendkim, "-t", msg, "-x", conf, "-v")
		if !ok || !strings.Contains(out, "verification (s="+selector+", d=example.org") || !strings.Contains(out, "succeeded") {
			t.Errorf("opendkim says:\n%s\nof\n%s", out, one)
		}
	}
}
