package bigcouch_test

import (
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

func TestCORS(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) {
		c.CORS = bigcouch.ConfigCORS{Origins: []string{"https://app.example.org"}, Credentials: true}
	})
	n.admin(201, "PUT", "/db", "")
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		status             int
		allow              string // Access-Control-Allow-Origin
	}{
		{"preflight", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: Content-Type, if-match"}, 204, "https://app.example.org"},
		{"COPY", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org", "Access-Control-Request-Method: COPY", "Access-Control-Request-Headers: destination"}, 204, "https://app.example.org"},
		{"another origin", "OPTIONS", "/db/doc", []string{"Origin: https://evil.example.org", "Access-Control-Request-Method: PUT"}, 405, ""},
		{"origin of another port", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org:8443", "Access-Control-Request-Method: PUT"}, 405, ""},
		{"another method", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org", "Access-Control-Request-Method: put"}, 405, ""},
		{"another header", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-other"}, 405, ""},
		{"no preflight", "OPTIONS", "/db/doc", []string{"Origin: https://app.example.org"}, 405, "https://app.example.org"},
		{"request", "GET", "/db", []string{"Origin: https://app.example.org"}, 200, "https://app.example.org"},
		{"error", "GET", "/none", []string{"Origin: https://app.example.org"}, 404, "https://app.example.org"},
		{"request of another origin", "GET", "/db", []string{"Origin: https://evil.example.org"}, 200, ""},
		{"none", "GET", "/db", nil, 200, ""},
	} {
		a := n.do("admin", tt.method, tt.path, "", tt.headers...)
		if got := a.header.Get("Access-Control-Allow-Origin"); a.status != tt.status || got != tt.allow {
			t.Errorf("%s: %d, allowed %q; want %d, %q", tt.name, a.status, got, tt.status, tt.allow)
		}
		credentials := a.header.Get("Access-Control-Allow-Credentials") == "true"
		if credentials != (tt.allow != "") || a.header.Get("Vary") != "Origin" {
			t.Errorf("%s: credentials %v, Vary %q", tt.name, credentials, a.header.Get("Vary"))
		}
		if tt.status == 204 && (!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "COPY") || a.header.Get("Access-Control-Max-Age") != "600" || a.body != "") {
			t.Errorf("%s: %v, %q", tt.name, a.header, a.body)
		}
		if tt.status == 200 && (a.header.Get("Access-Control-Expose-Headers") != "") != (tt.allow != "") {
			t.Errorf("%s exposes %q", tt.name, a.header.Get("Access-Control-Expose-Headers"))
		}
	}
	// A question needs no account; what it asks about does.
	if a := n.do("", "OPTIONS", "/db/doc", "", "Origin: https://app.example.org", "Access-Control-Request-Method: GET"); a.status != 204 {
		t.Errorf("preflight of nobody: %d", a.status)
	}

	open := start(t, t.TempDir(), func(c *bigcouch.Config) {
		c.CORS = bigcouch.ConfigCORS{Origins: []string{"*"}, Methods: []string{"GET"}, MaxAge: 5}
	})
	a := open.do("", "OPTIONS", "/", "", "Origin: http://anywhere", "Access-Control-Request-Method: GET")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "http://anywhere" || a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("Access-Control-Max-Age") != "5" {
		t.Errorf("open to all: %d %v", a.status, a.header)
	}
	if a := open.do("", "OPTIONS", "/", "", "Origin: http://anywhere", "Access-Control-Request-Method: PUT"); a.status != 405 {
		t.Errorf("a method that is not open: %d", a.status)
	}
	shut := start(t, t.TempDir())
	if a := shut.do("", "GET", "/", "", "Origin: http://anywhere"); a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "" {
		t.Errorf("without a setting: %v", a.header)
	}
	cfg := config(t, t.TempDir())
	if cfg.CORS = (bigcouch.ConfigCORS{Origins: []string{"*"}, Credentials: true}); cfg.Validate() == nil {
		t.Error("credentials for every origin are valid")
	}
}
