// Package interop lets programs of others talk to a provider: curl, GnuPG,
// OpenSSL, swaks, and Python's verifier of DKIM. They are Debian's; where one
// is missing its test is skipped.
package interop

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/session"
	"leap.example/client/soledad"
	"leap.example/services/protocol/certs"
	"leap.example/tests/e2e/process"
)

// leapd is the program under test.
var leapd process.Program

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := leapd.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}))
}

// program returns the path of a program, or skips the test.
func program(t *testing.T, path, pkg string) string {
	t.Helper()
	found, err := exec.LookPath(path)
	if err != nil {
		t.Skipf("the Debian package %s is not installed", pkg)
	}
	return found
}

// try runs a program in an empty environment and returns what it printed.
func try(t *testing.T, stdin []byte, argv ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/nonexistent", "LC_ALL=C"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.Bytes(), errs.String(), err
}

// run runs a program that must succeed.
func run(t *testing.T, stdin []byte, argv ...string) []byte {
	t.Helper()
	out, errs, err := try(t, stdin, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out, errs)
	}
	return out
}

// until polls f until it returns nil.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // Between polls only.
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// A person is a user of the provider whose key GnuPG has made.
type person struct {
	login, address string
	gpg            gpg
	fingerprint    string // As GnuPG prints it.
	sess           *session.Session
	remote         *soledad.Remote
	cert, key      string // Files of the certificate for submission.
}

// newPerson signs somebody up, whose key is of a kind that GnuPG knows, and
// publishes the key.
func newPerson(t *testing.T, p *process.Provider, login, kind string) *person {
	t.Helper()
	ctx := t.Context()
	a := &person{login: login, address: login + "@" + p.At.Domain, gpg: newGPG(t)}
	a.gpg.run(t, nil, "--quick-generate-key", a.address, kind, "default", "never")
	a.fingerprint = a.gpg.fingerprint(t, a.gpg.run(t, nil, "--export", a.address))
	provider, err := session.Bootstrap(ctx, p.At.Bootstrap, session.Options{Resolver: p.At.Resolver, CAFingerprint: p.At.Fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	id, cred, err := provider.SignUp(ctx, session.Account{Login: login, Invite: p.At.Invite}, "correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	if a.sess, err = provider.Login(ctx, session.Account{Login: login, Known: cred, UserID: id}, ""); err != nil {
		t.Fatal(err)
	}
	if err := a.sess.PublishKey(ctx, string(a.gpg.run(t, nil, "--armor", "--export", a.address))); err != nil {
		t.Fatal(err)
	}
	a.remote = soledad.NewRemote(provider.HTTP(), []string{p.At.Soledad}, id, a.sess.Token)
	until(t, "the user's database is there", func() error {
		_, err := a.remote.Incoming(ctx, 1)
		return err
	})
	pair, err := a.sess.SMTPCert(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key, err := certs.EncodeKey(pair.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a.cert, a.key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(a.cert, certs.EncodeCert(pair.Certificate[0]), 0o600), os.WriteFile(a.key, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return a
}

// curl fetches a page of the provider, trusting its CA alone.
func curl(t *testing.T, p *process.Provider, address string) []byte {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	resolve := net.JoinHostPort(u.Hostname(), u.Port()) + ":127.0.0.1"
	return run(t, nil, program(t, "/usr/bin/curl", "curl"), "-q", "-sS", "--fail", "--max-time", "30", "--cacert", p.At.CAFile, "--resolve", resolve, address)
}

// TestInterop is one provider and two users, with the two kinds of keys that
// GnuPG makes.
func TestInterop(t *testing.T) {
	program(t, "/usr/bin/gpg", "gnupg")
	p := leapd.New(t)
	ann, ben := newPerson(t, p, "ann", "default"), newPerson(t, p, "ben", "future-default")
	for _, a := range []*person{ann, ben} {
		t.Run("keys of "+a.login, func(t *testing.T) { findsKey(t, p, a) })
	}
	t.Run("openssl", func(t *testing.T) { submitsByOpenSSL(t, p, ann) })
	t.Run("swaks", func(t *testing.T) { mailsBySwaks(t, p, ann, ben) })
}
