package session_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"leap.example/client/session"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/srp"
)

const domain = "example.test"

// authority is a CA of the tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := certs.CA(name, domain, false, time.Now())
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem := certs.EncodeCert(der)
	cert, err := certs.ParseCert(pem)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem}
}

func (a authority) fingerprint() string { return provider.FingerprintOf(a.cert.Raw) }

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// serverCert is a certificate for all names of the fake provider.
func (a authority) serverCert(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := certs.Server([]string{domain, "api." + domain}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := certs.Create(tmpl, a.cert, key.Public(), a.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// fake is a provider that speaks the wire: a web host, the API, and a DNS
// server that knows both names.
type fake struct {
	ca       authority // Of the API.
	public   authority // Of the web host, unless it was started with ca.
	web, api string    // host:port.
	resolver string
	smtpKey  *rsa.PrivateKey
	smtpLife time.Duration

	mu        sync.Mutex
	questions map[string]int // DNS.
	requests  []string       // "METHOD path status", in order.
	minimum   string         // X-Minimum-Client-Version.
	doc       provider.Provider
	users     map[string]*user
	pending   map[string]*pending // By cookie.
	tokens    map[string]string   // Token to login.
	key       string              // Published.
	// intercept may answer in the provider's place.
	intercept func(w http.ResponseWriter, r *http.Request) bool
	// spoil may change an answer to a handshake.
	spoil func(*bonafide.HandshakeResponse)
}

type user struct {
	id, salt, verifier string
	suite              srp.Suite
	kdf                *srp.KDF
}

type pending struct {
	login string
	state []byte
}

// newFake starts a provider. With pinned, its web host is vouched for by its
// own CA, else by a public one.
func newFake(t *testing.T, pinned bool) *fake {
	t.Helper()
	f := &fake{
		ca: newAuthority(t, "Example"), public: newAuthority(t, "Public"), smtpLife: 30 * 24 * time.Hour,
		questions: map[string]int{}, users: map[string]*user{}, pending: map[string]*pending{}, tokens: map[string]string{},
	}
	webCA := f.public
	if pinned {
		webCA = f.ca
	}
	f.resolver = f.serveDNS(t)
	f.web = domain + ":" + f.listen(t, webCA)
	f.api = "api." + domain + ":" + f.listen(t, f.ca)
	f.doc = provider.Provider{
		APIURI: "https://" + f.api, APIVersion: "1", CACertFingerprint: f.ca.fingerprint(), CACertURI: "https://" + f.web + "/ca.crt",
		Domain: domain, EnrollmentPolicy: "open", Name: map[string]string{"en": "Example"}, Services: []string{"mx"},
	}
	return f
}

// listen serves all routes under a certificate of a and returns the port.
func (f *fake) listen(t *testing.T, a authority) string {
	t.Helper()
	s := httptest.NewUnstartedServer(f.routes())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.serverCert(t)}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // Refused handshakes are part of the tests.
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (f *fake) options() session.Options {
	return session.Options{Resolver: f.resolver, Roots: f.public.pool()}
}

// serveDNS answers every A question with 127.0.0.1.
func (f *fake) serveDNS(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			f.mu.Lock()
			f.questions[q.Name.String()]++
			f.mu.Unlock()
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from) // A lost answer is asked for again.
			}
		}
	})
	return pc.LocalAddr().String()
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// mux is the honest provider.
func (f *fake) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ca.crt", func(w http.ResponseWriter, _ *http.Request) { w.Write(f.ca.pem) })
	mux.HandleFunc("GET /provider.json", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		doc, minimum := f.doc, f.minimum
		f.mu.Unlock()
		if minimum != "" {
			w.Header().Set("X-Minimum-Client-Version", minimum)
		}
		f.json(w, r, doc)
	})
	mux.HandleFunc("GET /1/configs.json", f.authed(func(w http.ResponseWriter, r *http.Request, _ string) {
		f.json(w, r, provider.Configs{Services: map[string]string{"soledad": "/1/configs/soledad-service.json"}})
	}))
	mux.HandleFunc("GET /1/configs/soledad-service.json", f.authed(func(w http.ResponseWriter, r *http.Request, _ string) {
		f.json(w, r, provider.HostsService{Serial: 1, Hosts: map[string]provider.Host{"n1": {Hostname: "api." + domain, IPAddress: "127.0.0.1", Port: 2323}}})
	}))
	mux.HandleFunc("GET /2/mx-keys", f.authed(func(w http.ResponseWriter, r *http.Request, _ string) {
		f.json(w, r, bonafide.MXKeys{OpenPGP: []string{"KEY"}})
	}))
	mux.HandleFunc("GET /1/service", f.authed(func(w http.ResponseWriter, r *http.Request, _ string) {
		f.json(w, r, bonafide.ServiceResponse{Name: "free"})
	}))
	mux.HandleFunc("GET /1/messages", f.authed(func(w http.ResponseWriter, r *http.Request, _ string) {
		f.json(w, r, []bonafide.Message{{ID: "7", Locale: r.FormValue("locale"), Text: "hello"}})
	}))
	mux.HandleFunc("POST /1/users", f.signup)
	mux.HandleFunc("PUT /1/users/{id}", f.authed(f.updateUser))
	mux.HandleFunc("DELETE /1/users/{id}", f.authed(func(w http.ResponseWriter, _ *http.Request, login string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.users, login)
		fmt.Fprint(w, `{"success":"user deleted"}`)
	}))
	mux.HandleFunc("POST /1/sessions", f.handshake)
	mux.HandleFunc("PUT /1/sessions/{login}", f.authenticate)
	mux.HandleFunc("DELETE /1/logout", f.authed(func(w http.ResponseWriter, _ *http.Request, _ string) {
		f.forgetTokens()
		w.WriteHeader(204)
	}))
	mux.HandleFunc("POST /1/smtp_cert", f.authed(f.smtpCert))
	return mux
}

// routes is the provider as it is told to behave, and remembers requests.
func (f *fake) routes() http.Handler {
	mux := f.mux()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{w, 200}
		f.mu.Lock()
		intercept := f.intercept
		f.mu.Unlock()
		if intercept == nil || !intercept(sw, r) {
			mux.ServeHTTP(sw, r)
		}
		f.mu.Lock()
		f.requests = append(f.requests, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, sw.status))
		f.mu.Unlock()
	})
}

// seen returns and forgets the requests since the last call.
func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.requests
	f.requests = nil
	return r
}

func (f *fake) forgetTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
}

// set changes the provider between requests.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// json answers with v, or 304 to one who has it.
func (f *fake) json(w http.ResponseWriter, r *http.Request, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	tag := fmt.Sprintf(`"%x"`, len(data))
	w.Header().Set("ETag", tag)
	w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	if r.Header.Get("If-None-Match") == tag && r.Header.Get("If-Modified-Since") != "" {
		w.WriteHeader(304)
		return
	}
	w.Write(data)
}

func fail(w http.ResponseWriter, err error) {
	status, body := bonafide.ErrorOf(err)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (f *fake) authed(h func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := bonafide.ParseTokenHeader(r.Header.Get("Authorization"))
		f.mu.Lock()
		login := f.tokens[token]
		f.mu.Unlock()
		if login == "" {
			fail(w, problem.Unauthenticated)
			return
		}
		h(w, r, login)
	}
}

func body(r *http.Request) (string, []byte) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return "", nil
	}
	return r.Header.Get("Content-Type"), data
}

func (f *fake) signup(w http.ResponseWriter, r *http.Request) {
	req, err := bonafide.DecodeSignup(body(r))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.users[req.Login] != nil {
		err = bonafide.FieldErrors{"login": {bonafide.Taken}}
	}
	if err != nil {
		fail(w, err)
		return
	}
	u := &user{fmt.Sprintf("%032x", len(f.users)+1), req.PasswordSalt, req.PasswordVerifier, req.Suite, req.KDF}
	f.users[req.Login] = u
	w.WriteHeader(201)
	json.NewEncoder(w).Encode(bonafide.SignupResponse{Login: req.Login, OK: true, ID: u.id, Enabled: true})
}

func (f *fake) updateUser(w http.ResponseWriter, r *http.Request, login string) {
	req, err := bonafide.DecodeUpdateUser(body(r))
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.users[login]
	switch {
	case err == nil && u.id != r.PathValue("id"):
		err = problem.Permission
	case err == nil && req.PublicKey != nil:
		f.key = *req.PublicKey
	case err == nil:
		u.salt, u.verifier, u.suite, u.kdf = *req.PasswordSalt, *req.PasswordVerifier, *req.Suite, req.KDF
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(204)
}

func (f *fake) handshake(w http.ResponseWriter, r *http.Request) {
	req, err := bonafide.DecodeHandshake(body(r))
	f.mu.Lock()
	defer f.mu.Unlock()
	key := []byte("server secret")
	k := srp.DefaultKDF()
	u := &user{"", hex.EncodeToString(srp.FakeSalt(key, req.Login)), srp.FakeVerifier(srp.SRP3072, key, req.Login), srp.SRP3072, &k}
	if known := f.users[req.Login]; known != nil {
		u = known
	}
	if err == nil && u.suite != req.Suite {
		json.NewEncoder(w).Encode(bonafide.HandshakeResponse{Suite: u.suite})
		return
	}
	var s *srp.Server
	if err == nil {
		var salt []byte
		if salt, err = hex.DecodeString(u.salt); err == nil {
			s, err = srp.NewServer(u.suite, req.Login, domain, salt, u.verifier, req.A, rand.Reader)
		}
	}
	if err != nil {
		fail(w, err)
		return
	}
	state, err := s.MarshalBinary()
	if err != nil {
		fail(w, err)
		return
	}
	cookie := rand.Text()
	f.pending[cookie] = &pending{req.Login, state}
	http.SetCookie(w, &http.Cookie{Name: "_session_id", Value: cookie, Path: "/", Secure: true, HttpOnly: true})
	resp := bonafide.HandshakeResponse{B: s.B(), Salt: u.salt, Suite: u.suite, KDF: u.kdf}
	if f.spoil != nil {
		f.spoil(&resp)
	}
	json.NewEncoder(w).Encode(resp)
}

func (f *fake) authenticate(w http.ResponseWriter, r *http.Request) {
	req, err := bonafide.DecodeAuth(body(r))
	if err != nil {
		fail(w, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	cookie, err := r.Cookie("_session_id")
	if err != nil || f.pending[cookie.Value] == nil {
		fail(w, bonafide.NoHandshake())
		return
	}
	p := f.pending[cookie.Value]
	delete(f.pending, cookie.Value)
	s, err := srp.UnmarshalServer(p.state)
	if err != nil {
		fail(w, err)
		return
	}
	m2, err := s.Verify(req.ClientAuth)
	if err != nil || p.login != r.PathValue("login") {
		fail(w, bonafide.WrongPassword())
		return
	}
	token := rand.Text()
	f.tokens[token] = p.login
	json.NewEncoder(w).Encode(bonafide.AuthResponse{M2: m2, ID: f.users[p.login].id, Token: token})
}

func (f *fake) smtpCert(w http.ResponseWriter, _ *http.Request, login string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.smtpKey == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			fail(w, err)
			return
		}
		f.smtpKey = key
	}
	der, err := certs.Create(certs.SMTPClient(login+"@"+domain, f.smtpLife, time.Now()), f.ca.cert, f.smtpKey.Public(), f.ca.key, rand.Reader)
	if err != nil {
		fail(w, err)
		return
	}
	w.Write(certs.JoinPEM(f.smtpKey, der))
}

// bootstrap returns the provider as a client sees it.
func (f *fake) bootstrap(t *testing.T, opt session.Options) *session.Provider {
	t.Helper()
	p, err := session.Bootstrap(t.Context(), f.web, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// login signs up alice with the password "secret" and logs in.
func (f *fake) login(t *testing.T, p *session.Provider) *session.Session {
	t.Helper()
	_, cred, err := p.SignUp(t.Context(), session.Account{Login: "alice"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Login(t.Context(), session.Account{Login: "alice", Known: cred}, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// addUser signs a user up with the cheapest parameters.
func (f *fake) addUser(t *testing.T, suite srp.Suite, login, password string) {
	t.Helper()
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &srp.KDF{Name: "argon2id", T: 2, M: 19456, P: 1}
	sec, err := srp.Derive(suite, login, password, salt, *k)
	if err != nil {
		t.Fatal(err)
	}
	if suite == srp.LEAP1024 {
		k = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[login] = &user{fmt.Sprintf("%032x", 0xa0+len(f.users)), hex.EncodeToString(salt), sec.Verifier(), suite, k}
}

func reader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
