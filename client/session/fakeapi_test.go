package session_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/srp"
)

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

func reader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
