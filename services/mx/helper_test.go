package mx_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"go.uber.org/goleak"

	"leap.example/services/mx"
	"leap.example/services/mx/storetest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A person is a user with a key.
type person struct {
	id, address     string
	armored         string
	private, public []byte
}

// newPerson makes a key that was created an hour ago and lives so long.
func newPerson(address string, life time.Duration) *person {
	secs := uint32(life / time.Second)
	cfg := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: secs, DefaultCipher: packet.CipherAES256,
		AEADConfig: &packet.AEADConfig{DefaultMode: packet.AEADModeGCM},
		Time:       func() time.Time { return time.Now().Add(-time.Hour) },
	}
	e, err := openpgp.NewEntity("", "", address, cfg)
	p := &person{address: address, id: fmt.Sprintf("%032x", address)[:32]}
	var pub, priv, text bytes.Buffer
	w, aerr := armor.Encode(&text, openpgp.PublicKeyType, nil)
	err = errors.Join(err, aerr, e.Serialize(&pub), e.SerializePrivateWithoutSigning(&priv, nil), e.Serialize(w), w.Close())
	if err != nil {
		panic(err)
	}
	p.public, p.private, p.armored = pub.Bytes(), priv.Bytes(), text.String()
	return p
}

func (p *person) identity() record.Identity {
	return record.Identity{
		UserID: p.id, Address: p.address, Destination: p.address, Enabled: true,
		Keys: map[string]record.Key{"openpgp": {Type: "openpgp", Value: p.armored}},
	}
}

// cast is made once: keys and the server's certificate.
var cast = sync.OnceValue(func() (c struct {
	alice, bob, late *person
	signer           *envelope.SigningKey
	certDER          []byte
	key              *ecdsa.PrivateKey
},
) {
	c.alice, c.bob = newPerson("alice@example.org", 0), newPerson("bob@example.org", 0)
	c.late = newPerson("late@example.org", 30*time.Minute)
	var err, kerr error
	c.signer, err = envelope.NewSigningKey("mx.example.org", rand.Reader, time.Now().Add(-time.Hour))
	c.key, kerr = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl, terr := certs.Server([]string{"mx.example.org"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err := errors.Join(err, kerr, terr); err != nil {
		panic(err)
	}
	c.certDER, err = certs.Create(tmpl, tmpl, c.key.Public(), c.key, rand.Reader)
	if err != nil {
		panic(err)
	}
	return c
})

// A site is one running mail server and what is around it.
type site struct {
	t     testing.TB
	addr  string
	dir   string
	ids   *storetest.Identities
	queue *storetest.Queue
	log   *logBuffer
	roots *x509.CertPool
	stop  func()
	cfg   mx.Config
}

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

// start starts a server for alice, bob and some whose mail is not taken.
func start(t testing.TB, change ...func(*mx.Config)) *site {
	t.Helper()
	c := cast()
	blocked, disabled, keyless := c.alice.identity(), c.alice.identity(), c.bob.identity()
	blocked.Address, blocked.UserID = "root@example.org", ""
	disabled.Address, disabled.Enabled = "off@example.org", false
	keyless.Address, keyless.Destination, keyless.Keys = "nokey@example.org", "nokey@example.org", nil
	alias, stray := keyless, keyless
	alias.Address, alias.Destination = "robert@example.org", "bob@example.org"
	stray.Address, stray.Destination = "stray@example.org", "alice@example.org"
	s := &site{
		t: t, dir: t.TempDir(), log: new(logBuffer), queue: storetest.NewQueue(), roots: x509.NewCertPool(),
		ids: storetest.NewIdentities(c.alice.identity(), c.bob.identity(), c.late.identity(), blocked, disabled, keyless, alias, stray),
	}
	cert, err := x509.ParseCertificate(c.certDER)
	if err != nil {
		t.Fatal(err)
	}
	s.roots.AddCert(cert)
	keyPEM, err := certs.EncodeKey(c.key)
	signing, serr := c.signer.Private()
	if err := errors.Join(err, serr, os.Mkdir(filepath.Join(s.dir, "spool"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.cfg = mx.Config{
		Listen: "127.0.0.1:0", Hostname: "mx.example.org", Domains: []string{"example.org"},
		CertFile: s.file("cert.pem", certs.EncodeCert(c.certDER)), KeyFile: s.file("key.pem", keyPEM),
		SigningKeyFile: s.file("signing.asc", []byte(signing)), QueueSecretFile: s.file("secret", []byte(hex.EncodeToString(make([]byte, 32))+"\n")),
		SpoolDir: filepath.Join(s.dir, "spool"), GreetingDelay: "0s",
		Aliases: map[string][]string{"postmaster@example.org": {"ops@example.org", "bob@example.org"}, "ops@example.org": {"alice@example.org"}},
	}
	for _, f := range change {
		f(&s.cfg)
	}
	s.run()
	return s
}

// run starts the server; it stops at the end of the test or with s.stop.
func (s *site) run() {
	s.t.Helper()
	srv, err := mx.New(s.cfg, s.ids, s.queue, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
}

func (s *site) file(name string, data []byte) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// A letter is one opened queue entry.
type letter struct {
	envelope.Header
	raw string
}

// letters opens the queue of a user.
func (s *site) letters(p *person) []letter {
	s.t.Helper()
	key, err := cast().signer.Public()
	if err != nil {
		s.t.Fatal(err)
	}
	var all []letter
	for _, e := range s.queue.Entries(p.id) {
		h, raw, err := envelope.Open(e.Body, p.private, []string{key})
		if err != nil {
			s.t.Errorf("entry %s: %v", e.ID, err)
			continue
		}
		all = append(all, letter{h, string(raw)})
	}
	return all
}
