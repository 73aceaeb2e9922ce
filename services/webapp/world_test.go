package webapp_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
	"leap.example/services/webapp"
	"leap.example/services/webapp/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain       = "example.org"
	monitorToken = "monitor-0123456789-0123456789"
)

// A world is one provider: its files, its stores in memory, and the server on
// two loopback listeners.
type world struct {
	t        *testing.T
	cfg      webapp.Config
	provider provider.Provider
	stores   *storetest.Memory
	server   *webapp.Server
	ca       *x509.Certificate
	caKey    crypto.Signer
	api, web string          // Addresses.
	log      strings.Builder // Read it after stop.
	stop     func()

	readTimeout time.Duration
	poll        time.Duration
	wrap        func(webapp.Stores) webapp.Stores // Stands between server and stores.
}

// newWorld writes the files. start serves them; in between a test changes what
// it wants.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, stores: storetest.NewMemory()}
	w.makeCA()
	w.provider = provider.Provider{
		APIURI: "https://api.example.org:4430", APIVersion: "1",
		CACertFingerprint: provider.FingerprintOf(w.ca.Raw), CACertURI: "https://example.org/ca.crt",
		DefaultLanguage: "en", Languages: []string{"en"}, Domain: domain, EnrollmentPolicy: "open",
		Name:        map[string]string{"en": "Example"},
		Description: map[string]string{"en": "Mail and a VPN for people who like their letters sealed."},
		Services:    []string{"mx", "openvpn"},
		Service: provider.Service{
			AllowRegistration: true, DefaultServiceLevel: 1,
			Levels: map[string]provider.Level{
				"1": {Name: "free", Description: "Please donate.", Storage: 100, Bandwidth: "limited", Services: []string{"eip", "email"}},
				"2": {Name: "vpn", Services: []string{"eip"}},
			},
		},
	}
	w.cfg = webapp.Config{
		Domain: domain, Listen: "127.0.0.1:0", WebListen: "127.0.0.1:0",
		CAFile:           w.write("ca.crt", certs.EncodeCert(w.ca.Raw)),
		ServiceDir:       t.TempDir(),
		SecretFile:       w.write("secret", []byte(strings.Repeat("s3cret", 8))),
		MonitorTokenFile: w.write("monitor", []byte(monitorToken+"\n")),
		Admins:           []string{"boss"},
		MXKeyFiles:       []string{w.write("mx.asc", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n"))},
		ReservedNames:    []string{"example"}, AllowedNames: []string{"webmaster"},
	}
	free := webapp.ConfigRate{PerHour: -1} // Limits have tests of their own.
	w.cfg.Limits = webapp.ConfigLimits{
		LoginAccount: free, LoginNetwork: free, Signup: free, CertAccount: free, CertNetwork: free, Ticket: free, Lookup: free,
	}
	w.cfg.CertFile, w.cfg.KeyFile = w.serverCert()
	w.cfg.WebCertFile, w.cfg.WebKeyFile = w.cfg.CertFile, w.cfg.KeyFile
	w.cfg.GatewaysFile = w.write("gateways.json", []byte(`{"gateways":[],"locations":{}}`))
	w.writeService("soledad-service.json", `{"serial":1,"version":1,"hosts":{}}`)
	return w
}

func (w *world) write(name string, data []byte) (path string) {
	w.t.Helper()
	path = filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) writeService(name, body string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.cfg.ServiceDir, name), []byte(body), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) makeCA() {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl := certs.CA("Example", domain, false, time.Now())
	w.ca, w.caKey = w.sign(tmpl, tmpl, key.Public(), key), key
}

func (w *world) sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	w.t.Helper()
	der, err := certs.Create(tmpl, parent, pub, signer, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

func (w *world) serverCert() (certFile, keyFile string) {
	return w.certOf(w.ca, w.caKey, "api."+domain)
}

// certOf makes a certificate for a name on loopback.
func (w *world) certOf(ca *x509.Certificate, caKey crypto.Signer, name string) (certFile, keyFile string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl, err := certs.Server([]string{name}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	cert := w.sign(tmpl, ca, key.Public(), caKey)
	keyPEM, err := certs.EncodeKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.write("server.crt", certs.EncodeCert(cert.Raw)), w.write("server.key", keyPEM)
}

// build makes the server.
func (w *world) build() {
	w.t.Helper()
	doc, err := json.Marshal(w.provider)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cfg.ProviderFile = w.write("provider.json", doc)
	st := w.stores.Stores()
	if w.wrap != nil {
		st = w.wrap(st)
	}
	w.server, err = webapp.New(w.cfg, st, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
}

// serveError serves and expects that to fail at once.
func (w *world) serveError() error {
	w.t.Helper()
	w.build()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	return w.server.Serve(ctx, w.listen(), w.listen())
}

// start serves until the test ends.
func (w *world) start() *world {
	w.t.Helper()
	w.build()
	if w.readTimeout > 0 {
		w.server.SetReadTimeout(w.readTimeout)
	}
	if w.poll > 0 {
		w.server.SetPoll(w.poll)
	}
	api, web := w.listen(), w.listen()
	w.api, w.web = "https://"+api.Addr().String(), "https://"+web.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(ctx, api, web) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
	return w
}

func (w *world) listen() net.Listener {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	return ln
}

// client returns an HTTP client with its own cookies, which trusts the
// provider's CA alone and does not follow redirects.
func (w *world) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(w.ca)
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A call is one request of a test.
type call struct {
	method, url string // "POST", "https://…".
	token       string
	body        string
	contentType string // Default: a form, or JSON when the body begins with "{".
	header      map[string]string
}

// do makes a call and returns the answer and its body, without the final
// newline.
func (w *world) do(c *http.Client, call call) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), call.method, call.url, strings.NewReader(call.body))
	if err != nil {
		w.t.Fatal(err)
	}
	switch {
	case call.contentType != "":
		req.Header.Set("Content-Type", call.contentType)
	case strings.HasPrefix(call.body, "{"):
		req.Header.Set("Content-Type", "application/json")
	case call.body != "":
		req.Header.Set("Content-Type", bonafide.FormType)
	}
	if call.token != "" {
		req.Header.Set("Authorization", bonafide.TokenHeader(call.token))
	}
	for k, v := range call.header {
		req.Header.Set(k, v)
	}
	req.Host = req.Header.Get("Host") // Empty: that of the URL.
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, strings.TrimSuffix(string(body), "\n")
}

// wantCall checks status and exact body. A body that ends in "…" is a prefix.
func (w *world) wantCall(c *http.Client, call call, status int, want string) *http.Response {
	w.t.Helper()
	resp, got := w.do(c, call)
	prefix, isPrefix := strings.CutSuffix(want, "…")
	if resp.StatusCode != status || got != want && (!isPrefix || !strings.HasPrefix(got, prefix)) {
		w.t.Errorf("%s %s %.200s\ngot  %d %.300s\nwant %d %s", call.method, call.url, call.body, resp.StatusCode, got, status, want)
	}
	return resp
}
