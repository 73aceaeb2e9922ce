package nickserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"leap.example/services/nickserver"
	"leap.example/services/nickserver/storetest"
	"leap.example/services/protocol/nick"
)

func TestClassic(t *testing.T) {
	alice := newKey(t, "alice@example.org")
	disabled, blocked := identity("dora", newKey(t, "dora@example.org")), identity("root", newKey(t, "root@example.org"))
	disabled.Enabled, blocked.UserID = false, ""
	s := start(t, storetest.Memory{identity("alice", alice), identity("eve", nick.Key{}), disabled, blocked}, nil)
	legacy := start(t, storetest.Memory{}, func(c *nickserver.Config) { c.LegacyClients = true })
	down := start(t, broken{}, nil)
	downLegacy := start(t, broken{}, func(c *nickserver.Config) { c.LegacyClients = true })
	armor, err := json.Marshal(alice.Armored)
	if err != nil {
		t.Fatal(err)
	}
	key := func(address string) string { return `{"address":` + address + `,"openpgp":` + string(armor) + `}` }
	for _, tt := range []struct {
		name   string
		site   site
		query  string
		form   url.Values
		status int
		body   string
	}{
		{"known", s, "?address=alice@example.org", nil, 200, key(`"alice@example.org"`)},
		{"case", s, "?address=Alice@Example.ORG", nil, 200, key(`"alice@example.org"`)},
		{"suffix", s, "?address=alice%2Bshop@example.org", nil, 200, key(`"alice+shop@example.org"`)},
		{"form", s, "", url.Values{"address": {"alice@example.org"}}, 200, key(`"alice@example.org"`)},
		{"query before form", s, "?address=nobody@example.org", url.Values{"address": {"alice@example.org"}}, 404, "{}"},
		{"unknown", s, "?address=nobody@example.org", nil, 404, "{}"},
		{"no key", s, "?address=eve@example.org", nil, 404, "{}"},
		{"disabled", s, "?address=dora@example.org", nil, 404, "{}"},
		{"blocked", s, "?address=root@example.org", nil, 404, "{}"},
		{"no address", s, "?address=alice", nil, 400, "400 Not a valid address\n"},
		{"no address, legacy", legacy, "?address=alice", nil, 500, "500 Not a valid address\n"},
		{"elsewhere", s, "?address=zoe@other.example", nil, 200, `{"address":"zoe@other.example","openpgp":"THEIR KEY"}`},
		{"elsewhere unknown", s, "?address=joe@other.example", nil, 404, "404 Not Found\n"},
		{"elsewhere away", s, "?address=zoe@away.example", nil, 502, `{"error":"the other provider cannot be asked"}`},
		{"fingerprint", s, "?fingerprint=" + strings.ToUpper(alice.Fingerprint), nil, 200, key("null")},
		{"fingerprint, form", s, "", url.Values{"fingerprint": {alice.Fingerprint}}, 200, key("null")},
		{"unknown fingerprint", s, "?fingerprint=" + strings.Repeat("0", 40), nil, 404, "404 Not Found\n"},
		{"disabled fingerprint", s, "?fingerprint=" + disabled.Fingerprint, nil, 404, "404 Not Found\n"},
		{"bad fingerprint", s, "?fingerprint=xyz", nil, 400, "400 Fingerprint invalid: xyz\n"},
		{"bad fingerprint, legacy", legacy, "?fingerprint=xyz", nil, 500, "500 Fingerprint invalid: xyz\n"},
		{"nothing", s, "", nil, 404, "404 Not Found\n"},
		{"too long a form", s, "", url.Values{"x": {strings.Repeat("x", 5000)}}, 400, "{}"},
		{"database away", down, "?address=alice@example.org", nil, 503, "{}"},
		{"database away, legacy", downLegacy, "?address=alice@example.org", nil, 500, "{}"},
		{"database broken", down, "?fingerprint=" + strings.Repeat("0", 40), nil, 500, "{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := http.MethodGet
			if tt.form != nil {
				method = http.MethodPost
			}
			resp, body := do(t, tt.site.lookup, method, "nicknym.example.org:6425/"+tt.query, tt.form)
			if resp.StatusCode != tt.status || body != tt.body {
				t.Errorf("got %d %q\nwant %d %q", resp.StatusCode, body, tt.status, tt.body)
			}
			wantType := "text/plain; charset=utf-8"
			if strings.HasPrefix(body, "{") {
				wantType = "application/json"
			}
			if got := resp.Header.Get("Content-Type"); got != wantType {
				t.Errorf("content type %q", got)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	alice := newKey(t, "alice@example.org")
	disabled := identity("dora", newKey(t, "dora@example.org"))
	disabled.Enabled = false
	s := start(t, storetest.Memory{identity("alice", alice), disabled}, nil)
	advanced, direct := nick.WKDPaths("alice@example.org")
	hash := nick.WKDHash("alice")
	dora, _ := nick.WKDPaths("dora@example.org")
	for _, tt := range []struct {
		name, url string
		status    int
		body      string
	}{
		{"advanced", advanced, 200, string(alice.Binary)},
		{"direct", direct, 200, string(alice.Binary)},
		{"policy, advanced", "openpgpkey.example.org/.well-known/openpgpkey/example.org/policy", 200, ""},
		{"policy, direct", "example.org/.well-known/openpgpkey/policy", 200, ""},
		{"unknown", "example.org/.well-known/openpgpkey/hu/" + nick.WKDHash("zoe"), 404, "404 Not Found\n"},
		{"disabled", dora, 404, "404 Not Found\n"},
		{"no hash", "example.org/.well-known/openpgpkey/hu/alice", 404, "404 Not Found\n"},
		{"host of another domain", "other.example/.well-known/openpgpkey/hu/" + hash, 404, "404 Not Found\n"},
		{"path of another domain", "openpgpkey.example.org/.well-known/openpgpkey/other.example/hu/" + hash, 404, "404 Not Found\n"},
		{"another file", "example.org/.well-known/openpgpkey/submission-address", 404, "404 Not Found\n"},
		{"another file, advanced", "openpgpkey.example.org/.well-known/openpgpkey/example.org/x/" + hash, 404, "404 Not Found\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for listener, c := range map[string]*http.Client{"lookup": s.lookup, "directory": s.wkd} {
				resp, body := do(t, c, http.MethodGet, tt.url, nil)
				if resp.StatusCode != tt.status || body != tt.body {
					t.Errorf("%s: got %d, %d bytes; want %d, %d bytes", listener, resp.StatusCode, len(body), tt.status, len(tt.body))
				}
				if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "*" {
					t.Errorf("%s: origins %q", listener, got)
				}
				if got := resp.Header.Get("Content-Type"); tt.body == string(alice.Binary) && got != "application/octet-stream" {
					t.Errorf("%s: content type %q", listener, got)
				}
				if resp.ProtoMajor != 2 {
					t.Errorf("%s: spoke %s", listener, resp.Proto)
				}
			}
		})
	}
	if resp, _ := do(t, s.wkd, http.MethodGet, "openpgpkey.example.org/?address=alice@example.org", nil); resp.StatusCode != 404 {
		t.Errorf("the directory listener answers lookups: %s", resp.Status)
	}
	if resp, body := do(t, s.wkd, http.MethodHead, advanced, nil); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(alice.Binary)) {
		t.Errorf("HEAD: %s, %d bytes", resp.Status, resp.ContentLength)
	}
}

func TestHKP(t *testing.T) {
	alice := newKey(t, "alice@example.org")
	s := start(t, storetest.Memory{identity("alice", alice)}, nil)
	index := fmt.Sprintf("info:1:1\npub:%s:::1700000000:1700000001:e\nuid:alice@example.org:::\n", strings.ToUpper(alice.Fingerprint))
	for _, tt := range []struct {
		query  string
		status int
		typ    string
		body   string
	}{
		{"op=get&options=mr&search=0x" + strings.ToUpper(alice.Fingerprint), 200, "application/pgp-keys", alice.Armored},
		{"op=get&options=mr&search=0x" + alice.Fingerprint[24:], 200, "application/pgp-keys", alice.Armored},
		{"op=get&search=alice@example.org", 200, "application/pgp-keys", alice.Armored},
		{"op=get&search=alice%2Bx@example.org", 200, "application/pgp-keys", alice.Armored},
		{"op=index&options=mr&fingerprint=on&search=alice@example.org", 200, "text/plain; charset=utf-8", index},
		{"op=vindex&exact=on&options=mr&search=alice@example.org", 200, "text/plain; charset=utf-8", index},
		{"op=get&search=0x" + alice.Fingerprint[32:], 404, "text/plain; charset=utf-8", "404 Not Found\n"},
		{"op=get&search=nobody@example.org", 404, "text/plain; charset=utf-8", "404 Not Found\n"},
		{"op=get&search=alice", 400, "text/plain; charset=utf-8", "400 Bad Request\n"},
		{"op=get&search=0xzz", 400, "text/plain; charset=utf-8", "400 Bad Request\n"},
		{"op=get", 400, "text/plain; charset=utf-8", "400 Bad Request\n"},
		{"op=stats", 501, "text/plain; charset=utf-8", "501 Not Implemented\n"},
		{"", 501, "text/plain; charset=utf-8", "501 Not Implemented\n"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			resp, body := do(t, s.lookup, http.MethodGet, "nicknym.example.org:6425/pks/lookup?"+tt.query, nil)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.typ || body != tt.body {
				t.Errorf("got %d %s %q\nwant %d %s %q", resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.status, tt.typ, tt.body)
			}
		})
	}
	if resp, _ := do(t, s.lookup, http.MethodPost, "nicknym.example.org:6425/pks/add", url.Values{"keytext": {alice.Armored}}); resp.StatusCode != 404 && resp.StatusCode != 405 {
		t.Errorf("an upload got %s", resp.Status)
	}
}

func TestRate(t *testing.T) {
	s := start(t, storetest.Memory{}, func(c *nickserver.Config) { c.Rate = 1 })
	limited := 0
	for range 30 {
		resp, body := do(t, s.lookup, http.MethodGet, "nicknym.example.org/?address=a@example.org", nil)
		if resp.StatusCode == http.StatusTooManyRequests {
			limited++
			if body != "429 Too Many Requests\n" || resp.Header.Get("Retry-After") == "" {
				t.Fatalf("limited as %q", body)
			}
		}
	}
	if limited < 5 || limited > 20 {
		t.Errorf("%d of 30 requests were refused at a burst of 10", limited)
	}
}

func TestCheck(t *testing.T) {
	if err := start(t, storetest.Memory{}, nil).srv.Check(t.Context()); err != nil {
		t.Errorf("healthy: %v", err)
	}
	if err := start(t, broken{}, nil).srv.Check(t.Context()); err == nil {
		t.Error("healthy without database")
	}
}

func TestConfig(t *testing.T) {
	valid := nickserver.Config{Listen: ":6425", CertFile: "c", KeyFile: "k", Domain: "example.org"}
	if err := valid.Validate(); err != nil {
		t.Errorf("valid: %v", err)
	}
	for name, edit := range map[string]func(*nickserver.Config){
		"listen": func(c *nickserver.Config) { c.Listen = "" },
		"cert":   func(c *nickserver.Config) { c.CertFile = "" },
		"domain": func(c *nickserver.Config) { c.Domain = "Example.org" },
		"wkd":    func(c *nickserver.Config) { c.WKDCertFile = "x" },
		"rate":   func(c *nickserver.Config) { c.Rate = -1 },
	} {
		c := valid
		edit(&c)
		if c.Validate() == nil {
			t.Errorf("a wrong %s is valid", name)
		}
	}
}

// TestRun: it ends with its context, and fails without its certificate.
func TestRun(t *testing.T) {
	cert, key := writeCert(t)
	run := func(ctx context.Context, wkdCert string) error {
		srv, err := nickserver.New(nickserver.Config{
			Listen: "127.0.0.1:0", WKDListen: "127.0.0.1:0", CertFile: cert, KeyFile: key,
			WKDCertFile: wkdCert, WKDKeyFile: key, Domain: "example.org",
		}, storetest.Memory{}, nil, discard)
		if err != nil {
			t.Fatal(err)
		}
		return srv.Run(ctx)
	}
	if err := run(t.Context(), cert+".missing"); err == nil {
		t.Error("Run does without the directory's certificate")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := run(ctx, cert); err != nil {
		t.Errorf("Run: %v", err)
	}
}
