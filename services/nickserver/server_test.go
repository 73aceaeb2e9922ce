package nickserver_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"go.uber.org/goleak"

	"leap.example/services/nickserver"
	"leap.example/services/nickserver/storetest"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Test(t, func(_ *testing.T, ids []*record.Identity) nickserver.Identities { return storetest.Memory(ids) })
}

// newKey makes the armored public key of an address.
func newKey(t *testing.T, addr string) nick.Key {
	t.Helper()
	e, err := openpgp.NewEntity("", "", addr, &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return time.Unix(1.7e9, 0) }, KeyLifetimeSecs: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	k, err := nick.ParseKey(b.String())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// identity is the identity of a user who has published k, if it has a fingerprint.
func identity(local string, k nick.Key) *record.Identity {
	id := &record.Identity{UserID: "u", Address: local + "@example.org", WKD: nick.WKDHash(local), Enabled: true, Fingerprint: k.Fingerprint}
	if k.Fingerprint != "" {
		id.Keys = map[string]record.Key{"openpgp": {Type: "openpgp", Value: k.Armored}}
	}
	return id
}

// broken is a database that is away.
type broken struct{ nickserver.Identities }

func (broken) ByAddress(context.Context, nick.Address) (*record.Identity, error) {
	return nil, problem.Unavailable.Errorf("the database is away")
}

func (broken) ByFingerprint(context.Context, string) (*record.Identity, error) {
	return nil, errors.New("/perm/couch: read-only")
}

// foreign knows one address elsewhere.
type foreign struct{}

func (foreign) Key(_ context.Context, addr nick.Address) (string, error) {
	switch addr {
	case "zoe@other.example":
		return "THEIR KEY", nil
	case "zoe@away.example":
		return "", problem.Unavailable.Errorf("no answer")
	}
	return "", problem.NotExist.Errorf("no key")
}

// writeCert writes a fresh self-signed certificate for the host names and
// returns the paths of it and its key.
func writeCert(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"nicknym.example.org", "openpgpkey.example.org"}}
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

type site struct {
	srv    *nickserver.Server
	lookup *http.Client // All host names lead to the lookup listener.
	wkd    *http.Client // All host names lead to the directory listener.
}

// start serves both listeners of a server.
func start(t *testing.T, ids nickserver.Identities, edit func(*nickserver.Config)) site {
	t.Helper()
	cert, key := writeCert(t)
	cfg := nickserver.Config{Listen: "127.0.0.1:0", WKDListen: "127.0.0.1:0", CertFile: cert, KeyFile: key, Domain: "example.org", Rate: 1000}
	if edit != nil {
		edit(&cfg)
	}
	srv, err := nickserver.New(cfg, ids, foreign{}, discard)
	if err != nil {
		t.Fatal(err)
	}
	return site{srv, serve(t, srv.Serve), serve(t, srv.ServeWKD)}
}

func serve(t *testing.T, f func(context.Context, net.Listener) error) *http.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx, ln) }()
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", ln.Addr().String())
		},
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return &http.Client{Transport: tr, Timeout: 8 * time.Second}
}

func do(t *testing.T, c *http.Client, method, target string, form url.Values) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
