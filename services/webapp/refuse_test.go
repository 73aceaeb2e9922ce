package webapp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/srp"
	"leap.example/services/webapp"
)

func TestBodies(t *testing.T) {
	w := newWorld(t).start()
	long := "user[login]=" + strings.Repeat("a", bonafide.MaxBody)
	for _, tt := range []struct {
		name string
		call call
		code int
		want string
	}{
		{"oversized", call{body: long}, 413, `{"error":"too_large","message":"The request is too large."}`},
		{"malformed form", call{body: "user[login]=%zz"}, 422, `{"errors":{"base":["malformed form"]}}`},
		{"malformed JSON", call{body: `{"user":`}, 422, `{"errors":{"base":["malformed JSON object"]}}`},
		{"two objects", call{body: `{"a":1}{"b":2}`}, 422, `{"errors":{"base":["malformed JSON object"]}}`},
		{"JSON list", call{body: `["user"]`, contentType: "application/json"}, 422, `{"errors":{"base":["malformed JSON object"]}}`},
		{"other media", call{body: "<user/>", contentType: "text/xml"}, 422, `{"errors":{"base":["request is neither a form nor JSON"]}}`},
		{"wrong types", call{body: `{"user":{"login":["a"],"password_salt":{"a":"b"}}}`}, 422, `{"errors":{"login":["must have at least two characters"],…`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			tt.call.method, tt.call.url = "POST", w.api+"/1/users"
			w.wantCall(w.client(), tt.call, tt.code, tt.want)
		})
	}
}

// A client that sends its body too slowly, or not all of it, is answered and
// cut off; it does not hold up the server's end.
func TestSlowBodies(t *testing.T) {
	w := newWorld(t)
	w.readTimeout = 2 * time.Second
	w.start()
	for _, tt := range []struct {
		name   string
		status int
		end    func(*tls.Conn) error
	}{
		{"slow", http.StatusRequestTimeout, func(*tls.Conn) error { return nil }},
		{"short", http.StatusUnprocessableEntity, (*tls.Conn).CloseWrite},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(w.ca)
			conn, err := tls.Dial("tcp", strings.TrimPrefix(w.api, "https://"), &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST /1/users HTTP/1.1\r\nHost: api\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\nuser[login]=", bonafide.FormType)
			if err := tt.end(conn); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, tt.status)
			}
		})
	}
}

func TestRateLimits(t *testing.T) {
	w := newWorld(t)
	two := webapp.ConfigRate{Burst: 2, PerHour: 2}
	w.cfg.Limits.LoginAccount, w.cfg.Limits.Signup, w.cfg.Limits.Lookup = two, two, two
	w.cfg.Limits.CertAccount, w.cfg.Limits.Ticket = two, two
	w.addUser(1, "alice", nil)
	w.start()
	limited := `{"error":"limit","message":"Too many requests. Please try again later."}`
	exhaust := func(call call) {
		t.Helper()
		c := w.client()
		for range 2 {
			if resp, body := w.do(c, call); resp.StatusCode == http.StatusTooManyRequests {
				t.Errorf("%s: within the limit: %s", call.url, body)
			}
		}
		resp := w.wantCall(c, call, 429, limited)
		after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || after < 1700 || after > 1801 {
			t.Errorf("%s: Retry-After %d, %v; want half an hour", call.url, after, err)
		}
	}
	client, err := srp.NewClient(srp.SRP3072, "alice", domain, zeroes{})
	if err != nil {
		t.Fatal(err)
	}
	login := func(name string) call {
		req := bonafide.HandshakeRequest{Login: name, A: client.A(), Suite: srp.SRP3072}
		return call{method: "POST", url: w.api + "/1/sessions", body: string(req.Encode())}
	}
	exhaust(login("alice"))
	exhaust(login("nobody1")) // By account: the other one has its own; an unknown one too.
	exhaust(call{method: "POST", url: w.api + "/1/users", body: "x"})
	exhaust(call{method: "GET", url: w.web + "/key/alice"})
	exhaust(call{method: "POST", url: w.api + "/1/cert", token: "alice-token"})
	w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "test_user5"), token: monitorToken}, 201, `{"login":"test_user5",…`)
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	b[0] = 1
	return len(b), nil
}

// Nothing of a user reaches the log, whatever happens.
func TestLogHoldsNoNames(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.stores.SignSMTP = w.signSMTP
	broken := ""
	w.stores.Fail = func(call string) error {
		if call == broken {
			return errors.New("database broke")
		}
		return nil
	}
	w.start()
	c := w.client()
	w.begin(credentialsOf(t, srp.SRP3072, "alice", password)).finish()
	w.do(c, call{method: "POST", url: w.api + "/1/smtp_cert", token: "alice-token"})
	for _, broken = range []string{"users.ByID", "users.ByLogin", "identities.ByAddress", "tickets.Create", "sessions.Put"} {
		w.do(c, call{method: "POST", url: w.api + "/1/sessions", body: "login=alice&A=2"})
		w.do(c, call{method: "POST", url: w.api + "/1/smtp_cert", token: "alice-token"})
		w.do(c, call{method: "GET", url: w.web + "/key/alice"})
		w.do(c, call{method: "POST", url: w.web + "/tickets/new", body: "subject=canary&body=canary&email=canary@example.com"})
	}
	w.stop()
	log := w.log.String()
	if !strings.Contains(log, "database broke") {
		t.Error("failures are not logged")
	}
	for _, secret := range []string{"alice", "canary", "127.0.0.1", monitorToken} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	away := false
	w.stores.Fail = func(string) error {
		if away {
			return errors.New("connection refused")
		}
		return nil
	}
	w.start()
	if err := w.server.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	away = true
	if err := w.server.Check(t.Context()); err == nil {
		t.Error("healthy without a database")
	}
}

func TestConfig(t *testing.T) {
	good := newWorld(t).cfg
	good.ProviderFile = "provider.json"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*webapp.Config){
		"listen is required":      func(c *webapp.Config) { c.Listen = "" },
		"web_key_file is":         func(c *webapp.Config) { c.WebKeyFile = "" },
		"domain":                  func(c *webapp.Config) { c.Domain = "Example.org" },
		"support_uri":             func(c *webapp.Config) { c.SupportURI = "javascript:alert(1)" },
		"monitor_ips":             func(c *webapp.Config) { c.MonitorIPs = []string{"everywhere"} },
		"limits: burst 5 with 0":  func(c *webapp.Config) { c.Limits.Signup = webapp.ConfigRate{Burst: 5} },
		"limits: burst 0 with 10": func(c *webapp.Config) { c.Limits.Signup = webapp.ConfigRate{PerHour: 10} },
	} {
		cfg := good
		change(&cfg)
		if _, err := webapp.New(cfg, webapp.Stores{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.build()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.server.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	ln := w.listen()
	defer ln.Close()
	w.cfg.WebListen = ln.Addr().String()
	w.build()
	if err := w.server.Run(t.Context()); err == nil {
		t.Error("Run on a port that is taken: no error")
	}
}
