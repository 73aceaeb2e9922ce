package webapp_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/record"
)

func TestPublicDocuments(t *testing.T) {
	w := newWorld(t).start()
	c := w.client()
	doc, err := os.ReadFile(w.cfg.ProviderFile)
	if err != nil {
		t.Fatal(err)
	}
	eip := `{"serial":1,"version":1,"gateways":[],"locations":{}}`
	eip3 := `{"serial":1,"version":3,"gateways":[],"locations":{}}`
	gone := `{"error":"openvpn_not_offered","message":"The gateways of this provider speak WireGuard, and this program speaks OpenVPN. Please use leapc."}`
	ca := strings.TrimSuffix(string(certs.EncodeCert(w.ca.Raw)), "\n")
	for _, tt := range []struct {
		url    string
		status int
		want   string
	}{
		{w.web + "/provider.json", 200, string(doc)},
		{w.api + "/provider.json", 200, string(doc)},
		{w.api + "/1/provider.json", 200, string(doc)},
		{w.web + "/ca.crt", 200, ca},
		{w.api + "/ca.crt", 200, ca},
		{w.web + "/1/config/eip-service.json", 200, eip},
		{w.api + "/1/config/eip-service.json", 200, eip},
		{w.web + "/3/config/eip-service.json", 200, eip3},
		{w.api + "/3/config/eip-service.json", 200, eip3},
		{w.api + "/3/config/soledad-service.json", 404, notFound},
		{w.web + "/9/config/eip-service.json", 404, notFound},
		{w.web + "/1/config/smtp-service.json", 404, notFound},
		{w.web + "/1/config/other.json", 404, notFound},
		{w.api + "/1/configs.json", 200, `{"services":{"eip":"/1/configs/eip-service.json","soledad":"/1/configs/soledad-service.json"}}`},
		{w.api + "/2/configs", 200, `{"services":{"eip":"/2/configs/eip-service.json","soledad":"/2/configs/soledad-service.json"}}`},
		{w.api + "/3/configs.json", 200, `{"services":{"eip":"/3/config/eip-service.json"}}`},
		{w.api + "/3/configs/eip-service.json", 404, notFound},
		{w.api + "/3/users/x", 404, notFound},
		{w.api + "/2/mx-keys", 200, `{"openpgp":["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n"]}`},
	} {
		w.wantCall(c, call{method: "GET", url: tt.url}, tt.status, tt.want)
	}
	for _, base := range []string{w.api, w.web} {
		for _, v := range []string{"1", "3"} {
			w.wantCall(c, call{method: "POST", url: base + "/" + v + "/config/eip-service.json"}, 410, gone)
			w.wantCall(c, call{method: "POST", url: base + "/" + v + "/config/soledad-service.json"}, 404, notFound)
		}
	}
	if _, err := provider.Parse(doc); err != nil {
		t.Error(err)
	}
}

func TestServiceFilesNeedToken(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	for _, tt := range []struct {
		path, token string
		status      int
		want        string
	}{
		{"/1/configs/eip-service.json", "", 401, notLoggedIn},
		{"/1/configs/eip-service.json", "alice-token", 200, `{"serial":1,"version":1,"gateways":[],"locations":{}}`},
		{"/1/configs/smtp-service.json", "alice-token", 404, notFound},
		{"/1/configs/users.json", "alice-token", 403, notAuthorized},
	} {
		w.wantCall(c, call{method: "GET", url: w.api + tt.path, token: tt.token}, tt.status, tt.want)
	}
	anonymous := newWorld(t)
	anonymous.provider.Service.AllowAnonymous = true
	anonymous.start()
	anonymous.wantCall(anonymous.client(), call{method: "GET", url: anonymous.api + "/1/configs/eip-service.json"}, 200, `{"serial":1,…`)
}

// Each config document answers 304 to a client that has it, and provider.json
// always tells the least version.
func TestConditionalRequests(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	for _, url := range []string{
		w.web + "/provider.json", w.api + "/provider.json", w.api + "/1/configs.json", w.api + "/1/configs/eip-service.json",
		w.web + "/1/config/soledad-service.json", w.web + "/ca.crt", w.api + "/2/mx-keys",
	} {
		get := call{method: "GET", url: url, token: "alice-token"}
		if strings.HasPrefix(url, w.web) {
			get.token = ""
		}
		resp, body := w.do(c, get)
		modified, etag := resp.Header.Get("Last-Modified"), resp.Header.Get("ETag")
		if resp.StatusCode != 200 || body == "" || modified == "" || etag == "" {
			t.Errorf("%s: %d, Last-Modified %q, ETag %q", url, resp.StatusCode, modified, etag)
		}
		before := time.Now().Add(-24 * time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
		for _, tt := range []struct {
			name, value string
			status      int
		}{
			{"If-Modified-Since", modified, 304},
			{"If-Modified-Since", before, 200},
			{"If-None-Match", etag, 304},
			{"If-None-Match", `"other"`, 200},
		} {
			get.header = map[string]string{tt.name: tt.value}
			resp, body := w.do(c, get)
			if resp.StatusCode != tt.status || (body == "") != (tt.status == 304) {
				t.Errorf("%s with %s %s: %d, %d bytes, want %d", url, tt.name, tt.value, resp.StatusCode, len(body), tt.status)
			}
			if min := resp.Header.Get("X-Minimum-Client-Version"); strings.HasSuffix(url, "/provider.json") && min != "0.9.2" {
				t.Errorf("%s: %d with X-Minimum-Client-Version %q", url, resp.StatusCode, min)
			}
		}
	}
	for _, base := range []string{w.web, w.api} {
		resp := w.wantCall(c, call{method: "POST", url: base + "/provider.json"}, 404, `{"error":"not_found","message":"Not found."}`)
		if min := resp.Header.Get("X-Minimum-Client-Version"); min != "0.9.2" {
			t.Errorf("404 with X-Minimum-Client-Version %q", min)
		}
	}
}

func TestFindKey(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.addUser(2, "bob", nil)
	id := w.identity("alice")
	id.Keys = map[string]record.Key{"openpgp": {Type: "openpgp", Value: "KEY\n"}}
	if err := w.stores.Stores().Identities.Update(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.start()
	c := w.client()
	noKey := `{"error":"not_found","message":"No such key."}`
	w.wantCall(c, call{method: "GET", url: w.web + "/key/alice"}, 200, "KEY")
	for _, login := range []string{"bob", "nobody1", "No%20Name", "alice@example.org"} {
		w.wantCall(c, call{method: "GET", url: w.web + "/key/" + login}, 404, noKey)
	}
	href := base64.StdEncoding.EncodeToString([]byte("KEY\n"))
	want := `{"links":{"public_key":{"href":"` + href + `","type":"PGP"}},"subject":"acct:alice@example.org"}`
	w.wantCall(c, call{method: "GET", url: w.web + "/webfinger?q=acct:alice@example.org"}, 200, want)
	w.wantCall(c, call{method: "GET", url: w.web + "/webfinger?q=alice@example.org"}, 200, want)
	w.wantCall(c, call{method: "GET", url: w.web + "/webfinger?q=acct:bob@example.org"}, 404, noKey)
	w.wantCall(c, call{method: "GET", url: w.web + "/webfinger?q=acct:alice@example.com"}, 404, `{"error":"not_found","message":"No such account."}`)
	w.wantCall(c, call{method: "GET", url: w.web + "/webfinger"}, 404, `{"error":"not_found","message":"No such account."}`)
}

func TestHostMeta(t *testing.T) {
	w := newWorld(t).start()
	c := w.client()
	template := "https://example.org/webfinger?q={uri}"
	resp, body := w.do(c, call{method: "GET", url: w.web + "/.well-known/host-meta"})
	var x struct {
		XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
		Link    struct {
			Template string `xml:"template,attr"`
		}
	}
	if err := xml.Unmarshal([]byte(body), &x); err != nil || x.Link.Template != template || resp.Header.Get("Content-Type") != "application/xrd+xml" {
		t.Errorf("%v: %s", err, body)
	}
	for _, get := range []call{
		{method: "GET", url: w.web + "/.well-known/host-meta.json"},
		{method: "GET", url: w.web + "/.well-known/host-meta", header: map[string]string{"Accept": "application/json"}},
	} {
		_, body := w.do(c, get)
		var j struct {
			Links []struct{ Rel, Template string }
		}
		if err := json.Unmarshal([]byte(body), &j); err != nil || len(j.Links) != 1 || j.Links[0].Rel != "lrdd" || j.Links[0].Template != template {
			t.Errorf("%v: %s", err, body)
		}
	}
}

// What does not fit together is noticed at the start, not by clients.
func TestFilesAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world)
		want   string
	}{
		"fingerprint":  {func(w *world) { w.provider.CACertFingerprint = "SHA256: " + strings.Repeat("0", 64) }, "fingerprint"},
		"domain":       {func(w *world) { w.provider.Domain = "example.com" }, "domain"},
		"service file": {func(w *world) { w.writeService("smtp-service.json", `{"hosts":{"a":{}}}`) }, "smtp-service"},
		"gateways":     {func(w *world) { w.cfg.GatewaysFile = w.cfg.SecretFile }, "list of gateways"},
		"no tokens":    {func(w *world) { w.gateways(gateway("gw1", 9, true)) }, "private gateway gw1 has no tokens"},
		"short tokens": {func(w *world) { w.tokens("gw1", strings.Repeat("x", 30)+"\nshort") }, "at least 24 characters"},
		"secret":       {func(w *world) { w.cfg.SecretFile = w.write("short", []byte("x")) }, "at least 32"},
		"monitor":      {func(w *world) { w.cfg.MonitorTokenFile = w.write("short", []byte("x")) }, "at least 24"},
		"MX key":       {func(w *world) { w.cfg.MXKeyFiles = []string{w.cfg.SecretFile} }, "armored"},
		"certificate":  {func(w *world) { w.cfg.WebCertFile = w.cfg.SecretFile }, "PEM"},
		"about":        {func(w *world) { w.cfg.AboutFile = filepath.Join(t.TempDir(), "none") }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(w)
			if err := w.serveError(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Serve: %v, want something about %q", err, tt.want)
			}
		})
	}
}
