package webapp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/record"
)

// gateway is one on a port of loopback, somewhere.
func gateway(name string, port uint16, private bool) provider.Gateway {
	return provider.Gateway{
		Name: name, Host: name + "." + domain, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, LeasePorts: []uint16{port},
		Transports: []provider.GatewayTransport{{Proto: lease.UDP, Ports: []uint16{51821}}}, Plans: []lease.Plan{lease.Unlimited}, Private: private,
	}
}

// gateways writes the file with them.
func (w *world) gateways(list ...provider.Gateway) {
	w.t.Helper()
	places := map[string]provider.Location{
		"amsterdam": {Name: "Amsterdam", CountryCode: "NL", Timezone: "+1", Hemisphere: "N"},
		"new_york":  {Name: "New York", CountryCode: "US", Timezone: "-5", Hemisphere: "N"},
	}
	text, err := json.Marshal(provider.GatewayList{Gateways: list, Locations: places})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cfg.GatewaysFile = w.write("gateways.json", text)
}

func (w *world) tokens(name, text string) {
	w.cfg.GatewayTokenFiles = map[string]string{name: w.write("tokens", []byte(text))}
}

// A mock is the lease API of a gateway, as far as webapp asks it.
type mock struct {
	port   uint16
	answer atomic.Value // string: the body; with an empty one it fails.
}

// gatewayNamed runs the lease API of a gateway with a certificate of a CA.
func (w *world) gatewayNamed(ca *x509.Certificate, caKey crypto.Signer, name, answer string) *mock {
	w.t.Helper()
	certFile, keyFile := w.certOf(ca, caKey, name+"."+domain)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.ca) // Of clients, too.
	ln := w.listen()
	m := &mock{port: uint16(ln.Addr().(*net.TCPAddr).Port)}
	m.answer.Store(answer)
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body := m.answer.Load().(string)
		if body == "" || r.Method != http.MethodGet || r.URL.Path != lease.PathStatus || r.Host != name+"."+domain {
			http.Error(rw, "", http.StatusServiceUnavailable)
			return
		}
		rw.Write([]byte(body))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(tls.NewListener(ln, &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		}))
	}()
	w.t.Cleanup(func() { srv.Close(); <-done })
	return m
}

// addVPNCertificate puts a certificate into the pool.
func (w *world) addVPNCertificate(id string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl, err := certs.VPNClient(lease.Unlimited, rand.Reader, time.Hour, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	cert := w.sign(tmpl, w.ca, key.Public(), w.caKey)
	text, err := certs.EncodeKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.stores.AddCertificate(record.Certificate{ID: id, Key: string(text), Cert: string(certs.EncodeCert(cert.Raw)), ValidUntil: cert.NotAfter})
}

// list asks for the gateways.
func (w *world) list(c *http.Client, query, token string) provider.GatewayList {
	w.t.Helper()
	resp, body := w.do(c, call{method: "GET", url: w.api + provider.PathGateways + query, header: map[string]string{provider.GatewayTokenHeader: token}})
	if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
		w.t.Fatalf("%s: %d, %v: %s", query, resp.StatusCode, resp.Header, body)
	}
	l, err := provider.ParseGateways([]byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// names are those of the gateways in order, with what is known of them; "!" is
// nothing good.
func names(l provider.GatewayList) string {
	var all []string
	for _, g := range l.Gateways {
		s := g.Name + "!"
		if g.Healthy {
			s = g.Name + ":" + strconv.Itoa(g.Load)
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// eventually waits until the gateways are known to be as they are.
func (w *world) eventually(c *http.Client, query, token, want string) {
	w.t.Helper()
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = names(w.list(c, query, token)); got == want {
			return
		}
	}
	w.t.Fatalf("%s: the gateways are %q, want %q", query, got, want)
}

// TestGateways: what gateways say of themselves, what the caller wishes, and
// what the caller may see make the list.
func TestGateways(t *testing.T) {
	w := newWorld(t)
	w.provider.Service.AllowAnonymous = true
	far := w.gatewayNamed(w.ca, w.caKey, "far", `{"load":2,"peers_bucket":16}`)
	near := w.gatewayNamed(w.ca, w.caKey, "near", `{"load":5,"peers_bucket":64}`)
	secret := w.gatewayNamed(w.ca, w.caKey, "secret", `{"load":0,"peers_bucket":0}`)
	// A stranger with a certificate of its own CA is as good as dead.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := certs.CA("Example", domain, false, time.Now())
	stranger := w.gatewayNamed(w.sign(tmpl, tmpl, key.Public(), key), key, "stranger", `{"load":0,"peers_bucket":0}`)

	list := []provider.Gateway{gateway("far", far.port, false), gateway("near", near.port, false), gateway("secret", secret.port, true), gateway("stranger", stranger.port, false)}
	list[0].Location, list[1].Location = "new_york", "amsterdam"
	w.gateways(list...)
	token := strings.Repeat("t", 24)
	w.tokens("secret", "another-token-of-24-chars\n"+token+"\n")
	w.poll = 20 * time.Millisecond
	w.start()
	c := w.client()

	w.eventually(c, "?location=new_york", "", "far! near! stranger!") // There is no certificate to ask with.
	w.addVPNCertificate("1")
	w.addVPNCertificate("2")
	w.eventually(c, "", "", "far:2 near:5 stranger!")
	w.eventually(c, "?tz=+1", "", "near:5 far:2 stranger!")
	w.eventually(c, "?tz=%2B2.5", "", "near:5 far:2 stranger!")
	w.eventually(c, "?tz=-6&location=", "", "far:2 near:5 stranger!")
	w.eventually(c, "?tz=-6&location=amsterdam", "", "near:5 far:2 stranger!")
	w.eventually(c, "?location=atlantis", "", "far:2 near:5 stranger!")
	w.eventually(c, "", token, "secret:0 far:2 near:5 stranger!")
	w.eventually(c, "", token[1:], "far:2 near:5 stranger!")
	if l := w.list(c, "", ""); len(l.Locations) != 2 || l.Locations["amsterdam"].Name != "Amsterdam" || l.Gateways[0].Host != "far.example.org" {
		t.Errorf("the list is %+v", l)
	}
	for _, path := range []string{"/1/config/eip-service.json", "/3/config/eip-service.json"} {
		if _, body := w.do(c, call{method: "GET", url: w.api + path, header: map[string]string{provider.GatewayTokenHeader: token}}); strings.Contains(body, "secret") {
			t.Errorf("%s shows the private gateway: %s", path, body)
		}
	}

	near.answer.Store(`{"load":0,"peers_bucket":0}`)
	far.answer.Store("")
	w.eventually(c, "?location=new_york", "", "near:0 far! stranger!")
	far.answer.Store(`{"load":9,"peers_bucket":0}`) // Nonsense is no answer.
	near.answer.Store(`{"load":1,"peers_bucket":0}`)
	far.answer.Store(`{"load":0,"peers_bucket":0}`)
	w.eventually(c, "", "", "far:0 near:1 stranger!")

	w.wantCall(c, call{method: "POST", url: w.api + "/3/cert"}, 200, "-----BEGIN PRIVATE KEY-----…") // It took one alone.
	w.stop()
	if log := w.log.String(); !strings.Contains(log, "gateway=stranger") || strings.Contains(log, token) || strings.Count(log, "does not answer") > 3 {
		t.Errorf("the log is %s", log)
	}
}

// TestGatewayRefusals: errors are problem documents.
func TestGatewayRefusals(t *testing.T) {
	w := newWorld(t)
	w.cfg.Limits.Lookup.Burst, w.cfg.Limits.Lookup.PerHour = 4, 1
	w.start()
	c := w.client()
	get := func(query string) call { return call{method: "GET", url: w.api + provider.PathGateways + query} }
	w.wantCall(c, get(""), 200, `{"gateways":[],"locations":{}}`)
	w.wantCall(c, get("?tz=15"), 400, `{"type":"invalid","detail":"tz: \"15\" is no time zone: write hours east of Greenwich, -12 to 14"}`)
	w.wantCall(c, get("?tz=x"), 400, `{"type":"invalid",…`)
	if resp := w.wantCall(c, get("?location="+strings.Repeat("a", 65)), 400, `{"type":"invalid",…`); resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("it is of the type %q", resp.Header.Get("Content-Type"))
	}
	if resp := w.wantCall(c, get(""), 429, `{"type":"limit",…`); resp.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	none := newWorld(t)
	none.cfg.GatewaysFile = ""
	none.start()
	c = none.client()
	none.wantCall(c, call{method: "GET", url: none.api + provider.PathGateways}, 404, `{"type":"not-exist","detail":"this provider has no gateways"}`)
	for _, v := range []string{"1", "3"} {
		none.wantCall(c, call{method: "GET", url: none.api + "/" + v + "/config/eip-service.json"}, 404, notFound)
		none.wantCall(c, call{method: "POST", url: none.api + "/" + v + "/config/eip-service.json"}, 404, notFound)
	}
}
