package soledad_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/soledad"
	"leap.example/services/soledad/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Test(t, func(t *testing.T, exists bool) func() storetest.Store {
		var m storetest.Memory
		if exists {
			if err := m.Create(t.Context(), "u1"); err != nil {
				t.Fatal(err)
			}
		}
		return func() storetest.Store { return m.Open("u1") }
	})
	storetest.TestShared(t, func(*testing.T) soledad.Shared { return new(storetest.Memory) })
}

const (
	alice = "0123456789abcdef0123456789abcdef"
	bob   = "fedcba9876543210fedcba9876543210"
)

// A site is a running server.
type site struct {
	t     testing.TB
	mem   *storetest.Memory
	srv   *soledad.Server
	addr  string
	url   string
	http  *http.Client // HTTP/2, without compression.
	plain *http.Client // HTTP/1.1, with compression.
	log   *journal
}

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// start serves the databases of alice, which exists, and bob, whose does not.
// Their tokens are "alice-token" and "bob-token".
func start(t testing.TB, edit func(*soledad.Config, *soledad.Stores)) *site {
	t.Helper()
	mem := new(storetest.Memory)
	if err := mem.Create(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	mem.Login("alice-token", alice)
	mem.Login(alice+"-token", alice)
	mem.Login("bob-token", bob)
	cfg := soledad.Config{Listen: "127.0.0.1:0"}
	cfg.CertFile, cfg.KeyFile = writeCert(t)
	stores := soledad.Stores{
		Tokens: mem,
		Shared: mem,
		Open:   func(user string) soledad.UserDB { return mem.Open(user) },
		Create: mem.Create,
	}
	if edit != nil {
		edit(&cfg, &stores)
	}
	log := new(journal)
	srv, err := soledad.New(cfg, stores, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, mem: mem, srv: srv, addr: ln.Addr().String(), url: "https://" + ln.Addr().String(), log: log}
	insecure := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
	h2 := &http.Transport{TLSClientConfig: insecure(), ForceAttemptHTTP2: true, DisableCompression: true}
	h1 := &http.Transport{TLSClientConfig: insecure(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	s.http, s.plain = &http.Client{Transport: h2, Timeout: time.Minute}, &http.Client{Transport: h1, Timeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		h2.CloseIdleConnections()
		h1.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func writeCert(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"soledad.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func authorization(user, token string) string {
	return "Token " + base64.StdEncoding.EncodeToString([]byte(user+":"+token))
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// A header is one "Name: value" of a request.
type header string

// do sends a request of alice's. Of body a string is sent with its length, a
// Reader in chunks.
func (s *site) do(method, path string, body any, headers ...header) answer {
	s.t.Helper()
	a, err := s.try(s.http, method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *site) try(c *http.Client, method, path string, body any, headers ...header) (answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", authorization(alice, "alice-token"))
	for _, h := range headers {
		name, value, _ := strings.Cut(string(h), ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// want fails unless a has a status and a body.
func (s *site) want(what string, a answer, status int, body string) {
	s.t.Helper()
	if a.status != status || a.body != body {
		s.t.Errorf("%s: got %d %q\nwant %d %q", what, a.status, a.body, status, body)
	}
}

// soon is how long something may take that happens at once.
const soon = 20 * time.Second

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
