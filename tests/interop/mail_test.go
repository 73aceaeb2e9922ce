package interop

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/envelope"
	"leap.example/tests/e2e/process"
)

// A dialogue is a program that passes lines to and from a server.
type dialogue struct {
	t     *testing.T
	in    io.Writer
	lines chan string // Closed at the end.
}

// talk starts a program.
func talk(t *testing.T, argv ...string) *dialogue {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var errs bytes.Buffer
	cmd.Env, cmd.Stderr = []string{}, &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &dialogue{t, in, make(chan string, 100)}
	go func() {
		defer close(d.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		for range d.lines { // To its end.
		}
		cmd.Wait() // A refused server is an error of its own.
		if t.Failed() {
			t.Logf("%s: %s", argv[0], &errs)
		}
	})
	return d
}

// say sends a line, unless it is empty, and returns the last line of the reply.
func (d *dialogue) say(line string) string {
	d.t.Helper()
	if line != "" {
		if _, err := io.WriteString(d.in, line+"\r\n"); err != nil {
			d.t.Fatalf("saying %q: %v", line, err)
		}
	}
	for {
		select {
		case reply, ok := <-d.lines:
			if !ok || len(reply) > 3 && reply[3] == ' ' {
				return reply
			}
		case <-time.After(30 * time.Second):
			d.t.Fatalf("no answer to %q", line)
		}
	}
}

// submitsByOpenSSL speaks SMTP through "openssl s_client", with and without the
// certificate of a user.
func submitsByOpenSSL(t *testing.T, p *process.Provider, a *person) {
	openssl := program(t, "/usr/bin/openssl", "openssl")
	host := "smtp." + p.At.Domain
	common := []string{
		openssl, "s_client", "-quiet", "-servername", host, "-verify_hostname", host, "-verify_return_error", "-CAfile", p.At.CAFile,
	}
	cert := []string{"-cert", a.cert, "-key", a.key}
	for _, tt := range []struct {
		name    string
		args    []string
		greeted bool // OpenSSL has read the greeting.
		from    string
		want    string
	}{
		{"465 with a certificate", append([]string{"-connect", p.At.Submissions}, cert...), false, a.address, "250 "},
		{"587 with a certificate", append([]string{"-connect", p.At.Submission, "-starttls", "smtp"}, cert...), true, a.address, "250 "},
		{"465, TLS 1.2", append([]string{"-connect", p.At.Submissions, "-tls1_2"}, cert...), false, a.address, "250 "},
		{"another's address", append([]string{"-connect", p.At.Submissions}, cert...), false, "somebody@" + p.At.Domain, "553 5.7.1 "},
		{"465 without a certificate", []string{"-connect", p.At.Submissions}, false, a.address, "530 5.7.0 "},
		{"587 without a certificate", []string{"-connect", p.At.Submission, "-starttls", "smtp"}, true, a.address, "530 5.7.0 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := talk(t, append(common, tt.args...)...)
			if !tt.greeted {
				if got := d.say(""); !strings.HasPrefix(got, "220 "+host) {
					t.Fatalf("the greeting is %q", got)
				}
			}
			if got := d.say("EHLO client.example"); !strings.HasPrefix(got, "250 ") {
				t.Errorf("EHLO: %q", got)
			}
			if got := d.say("MAIL FROM:<" + tt.from + ">"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("MAIL FROM: %q, want %s", got, tt.want)
			}
			d.say("QUIT")
		})
	}
}

// verifyDKIM verifies every signature of the message on standard input with
// the keys in the name server at the port of its argument.
const verifyDKIM = `
import sys, dkim, dns.resolver
r = dns.resolver.Resolver(configure=False)
r.nameservers, r.port = ["127.0.0.1"], int(sys.argv[1])
def txt(name, timeout=5):
    return b"".join(r.resolve(name.decode(), "TXT", lifetime=20)[0].strings)
message = sys.stdin.buffer.read()
count = sum(k.lower() == b"dkim-signature" for k, _ in dkim.DKIM(message).headers)
for i in range(count):
    d = dkim.DKIM(message)
    try:
        ok = d.verify(idx=i, dnsfunc=txt)
    except dkim.DKIMException as e:
        ok = e
    print(d.signature_fields[b"a"].decode(), d.signature_fields[b"d"].decode(), ok)
`

// mailsBySwaks sends a mail with swaks from one user to the other. The relay
// signs it, the MX seals it, the other user's GnuPG opens it, and Python
// verifies the signatures of the relay.
func mailsBySwaks(t *testing.T, p *process.Provider, from, to *person) {
	swaks := program(t, "/usr/bin/swaks", "swaks")
	host, port, err := net.SplitHostPort(p.At.Submissions)
	if err != nil {
		t.Fatal(err)
	}
	subject, body := "Grüße "+rand.Text(), rand.Text()
	common := []string{
		swaks, "--server", host, "--port", port, "--tls-on-connect", "--tls-ca-path", p.At.CAFile, "--tls-verify", "--tls-sni", "smtp." + p.At.Domain,
		"--ehlo", "client.example", "--from", from.address, "--to", to.address, "--header", "Subject: " + subject, "--body", body,
	}
	if out, _, err := try(t, nil, common...); err == nil || !bytes.Contains(out, []byte("530 5.7.0")) {
		t.Errorf("without a certificate: %v, want 530 5.7.0\n%s", err, out)
	}
	if out := run(t, nil, append(common, "--tls-cert", from.cert, "--tls-key", from.key)...); !bytes.Contains(out, []byte("Queued as")) {
		t.Fatalf("not queued:\n%s", out)
	}
	head, text := opens(t, p, to)
	if head.From != from.address || head.To != to.address {
		t.Errorf("the envelope is from %q to %q", head.From, head.To)
	}
	for _, want := range []string{"\r\nSubject: " + subject + "\r\n", "\r\n\r\n" + body + "\r\n", "\r\nFrom: " + from.address + "\r\n"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%q is not in the mail:\n%s", want, text)
		}
	}
	if _, _, err := try(t, nil, "/usr/bin/python3", "-c", "import dkim, dns.resolver, nacl"); err != nil {
		t.Skip("one of the Debian packages python3-dkim, python3-dnspython, python3-nacl is not installed")
	}
	_, dns, err := net.SplitHostPort(p.At.Resolver)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("rsa-sha256 %s True\ned25519-sha256 %[1]s True\n", p.At.Domain)
	if got := string(run(t, text, "/usr/bin/python3", "-c", verifyDKIM, dns)); got != want {
		t.Errorf("Python says of the signatures:\n%swant:\n%s", got, want)
	}
	forged := bytes.Replace(text, []byte(body), []byte(rand.Text()), 1)
	if got := string(run(t, forged, "/usr/bin/python3", "-c", verifyDKIM, dns)); strings.Contains(got, "True") {
		t.Errorf("Python says of a changed text:\n%s", got)
	}
}

// opens waits for a mail in somebody's queue and opens it with GnuPG: it must
// be signed by the provider's MX.
func opens(t *testing.T, p *process.Provider, a *person) (envelope.Header, []byte) {
	t.Helper()
	var id string
	until(t, "the mail has come", func() error {
		list, err := a.remote.Incoming(t.Context(), 10)
		if err == nil && len(list) != 1 {
			err = fmt.Errorf("%d mails", len(list))
		}
		if err == nil {
			id = list[0].ID
		}
		return err
	})
	sealed, err := a.remote.FetchIncoming(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var keys struct{ OpenPGP []string }
	if err := json.Unmarshal(curl(t, p, p.At.API+"/2/mx-keys"), &keys); err != nil || len(keys.OpenPGP) != 1 {
		t.Fatalf("the keys of the MX: %v, %v", keys, err)
	}
	a.gpg.run(t, []byte(keys.OpenPGP[0]), "--import")
	plain, status, err := try(t, sealed, a.gpg.argv("--status-fd", "2", "--decrypt")...)
	if err != nil {
		t.Fatalf("gpg: %v\n%s", err, status)
	}
	if signer := "VALIDSIG " + a.gpg.fingerprint(t, []byte(keys.OpenPGP[0])); !strings.Contains(status, signer) {
		t.Errorf("gpg has no %q:\n%s", signer, status)
	}
	part := func() []byte {
		if len(plain) < 4 || len(plain)-4 < int(binary.BigEndian.Uint32(plain)) {
			t.Fatal("the envelope's content is cut off")
		}
		n := int(binary.BigEndian.Uint32(plain))
		b := plain[4 : 4+n]
		plain = plain[4+n:]
		return b
	}
	if !bytes.HasPrefix(plain, []byte("LEM\x01")) {
		t.Fatalf("the envelope's content begins with %.20q", plain)
	}
	plain = plain[4:]
	var head envelope.Header
	if err := json.Unmarshal(part(), &head); err != nil {
		t.Fatal(err)
	}
	return head, part()
}
