package relay_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
	"leap.example/services/relay/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice      = "0000000000000000000000000000a11c"
	bob        = "00000000000000000000000000000b0b"
	aliceToken = "token-canary-of-alice"
)

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A site is one running relay and what is around it: mx takes the provider's
// own mail, world that of dest.example and others.
type site struct {
	t             testing.TB
	office        *office
	dir           string
	tls, starttls string // Addresses.
	cfg           relay.Config
	queue         *storetest.Outbound
	mx, world     *sink
	log           *logBuffer
	stop          func()
	roots         *x509.CertPool
}

// start starts a relay for alice and bob.
func start(t testing.TB, change ...func(*relay.Config)) *site {
	t.Helper()
	o := theOffice()
	s := &site{t: t, office: o, dir: t.TempDir(), queue: storetest.NewOutbound(), log: new(logBuffer), roots: x509.NewCertPool()}
	s.roots.AddCert(o.ca)
	s.mx, s.world = newSink(t, "", &o.server), newSink(t, "", nil)
	_, port, err := net.SplitHostPort(s.world.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = relay.Config{
		ListenTLS: "127.0.0.1:0", ListenSTARTTLS: "127.0.0.1:0", Hostname: "smtp.example.org", Domains: []string{"example.org"},
		CertFile: s.file("cert.pem", certs.EncodeCert(o.server.Certificate[0])), KeyFile: s.key("key.pem", o.server.PrivateKey.(crypto.Signer)),
		ClientCAFile: s.file("ca.pem", certs.EncodeCert(o.ca.Raw)), QueueKeyFile: s.file("queue", []byte(hex.EncodeToString(make([]byte, 32)))),
		DKIM:     []relay.ConfigDKIM{{Selector: "r1", KeyFile: s.key("r1.pem", o.dkim["r1"])}, {Selector: "e1", KeyFile: s.key("e1.pem", o.dkim["e1"])}},
		MX:       relay.ConfigHop{Address: s.mx.addr, Name: "mx.example.org", CAFile: s.file("mx-ca.pem", certs.EncodeCert(o.ca.Raw))},
		Resolver: serveDNS(t, append(o.dkimRecords(), world()...)...), AllowPrivate: true, Poll: "50ms",
		Retry: []string{"200ms"}, Burst: 1000, MessagesPerMinute: 60_000,
	}
	fmt.Sscan(port, &s.cfg.ForeignPort)
	for _, f := range change {
		f(&s.cfg)
	}
	s.run()
	return s
}

// world is the domain name system outside.
func world() []string {
	return []string{
		"dest.example. MX 20 backup.dest.example.", "dest.example. MX 10 mail.dest.example.",
		"mail.dest.example. A 127.0.0.1", "backup.dest.example. A 127.0.0.9",
		"other.example. A 127.0.0.1", "refused.example. A 127.0.0.8", "nomail.example. MX 0 .",
		"xn--mnchen-3ya.example. A 127.0.0.1", "loop.example. MX 10 smtp.example.org.",
	}
}

func (s *site) file(name string, data []byte) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) key(name string, key crypto.Signer) string {
	return s.file(name, must(certs.EncodeKey(key)))
}

// run starts the relay; it stops at the end of the test or with s.stop.
func (s *site) run() {
	s.t.Helper()
	o := s.office
	prints := map[string]string{
		certs.Fingerprint1(o.alice.Leaf.Raw):    time.Now().UTC().Format(time.DateOnly),
		certs.Fingerprint1(o.aliceOld.Leaf.Raw): time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly),
	}
	ids := storetest.Identities{
		"alice@example.org": {Address: "alice@example.org", UserID: alice, Enabled: true, CertFingerprints: prints},
		"al@example.org":    {Address: "al@example.org", UserID: alice, Enabled: true},
		"off@example.org":   {Address: "off@example.org", UserID: alice},
		"bob@example.org":   {Address: "bob@example.org", UserID: bob, Enabled: true},
	}
	srv, err := relay.New(s.cfg, ids, storetest.Tokens{aliceToken: alice, "token-of-bob": bob}, s.queue, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	implicit, err := net.Listen("tcp", "127.0.0.1:0")
	starttls, err2 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, err2); err != nil {
		s.t.Fatal(err)
	}
	s.tls, s.starttls = implicit.Addr().String(), starttls.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, implicit, starttls) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
}

// tlsConfig is that of a client with certificates.
func (s *site) tlsConfig(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "smtp.example.org", Certificates: certs}
}

// client returns a client that is alice by her certificate.
func (s *site) client() *smtp.Client {
	s.t.Helper()
	c, err := smtp.DialTLS(s.tls, s.tlsConfig(s.office.alice))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// withToken returns a client that is somebody by a token.
func (s *site) withToken(name, token string) (*smtp.Client, error) {
	c, err := smtp.DialStartTLS(s.starttls, s.tlsConfig())
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { c.Close() })
	return c, c.Auth(sasl.NewPlainClient("", name, token))
}

// submit sends a message of alice and fails the test if it is not taken.
func (s *site) submit(text string, to ...string) {
	s.t.Helper()
	c := s.client()
	if err := c.SendMail("alice@example.org", to, strings.NewReader(text)); err != nil {
		s.t.Fatalf("submitting: %v", err)
	}
	c.Close()
}

// mail returns a message of alice.
func mail(subject, body string) string {
	return "From: Alice <alice@example.org>\r\nTo: carol@dest.example\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n"
}

// empty waits until nothing is left in the queue.
func (s *site) empty() {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		rows, msgs := s.queue.Rows(), s.queue.Messages()
		if len(rows)+len(msgs) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d rows and %d messages are left: %+v", len(rows), len(msgs), rows)
		}
	}
}

// rowsWhen waits until the rows are as f wants them.
func (s *site) rowsWhen(what string, f func([]record.OutboundRow) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		rows := s.queue.Rows()
		if f(rows) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: rows are %+v", what, rows)
		}
	}
}
