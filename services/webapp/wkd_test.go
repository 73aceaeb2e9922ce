package webapp_test

import (
	"strings"
	"testing"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/record"
	"leap.example/services/webapp"
)

// setKey gives the identity of login an OpenPGP key.
func (w *world) setKey(login, armored string, change func(*record.Identity)) {
	w.t.Helper()
	id := w.identity(login)
	id.WKD, id.Keys = nick.WKDHash(login), map[string]record.Key{"openpgp": {Type: "openpgp", Value: armored}}
	if change != nil {
		change(id)
	}
	if err := w.stores.Stores().Identities.Update(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

// directoryCall asks for an address of the directory, "HOST/PATH", as a client does
// that was led to this listener.
func directoryCall(w *world, address string) call {
	host, path, _ := strings.Cut(address, "/")
	return call{method: "GET", url: w.web + "/" + path, header: map[string]string{"Host": host}}
}

func TestDirectory(t *testing.T) {
	w := newWorld(t)
	for n, login := range []string{"alice", "dora", "eve", "root", "broken"} {
		w.addUser(n+1, login, nil)
	}
	key, err := nick.ParseKey(pgpKey(t, "alice@example.org", false))
	if err != nil {
		t.Fatal(err)
	}
	w.setKey("alice", key.Armored, nil)
	w.setKey("dora", key.Armored, func(id *record.Identity) { id.Enabled = false })
	w.setKey("eve", "", nil)
	w.setKey("root", key.Armored, func(id *record.Identity) { id.UserID = "" })
	w.setKey("broken", "KEY", nil)
	w.start()
	c := w.client()
	advanced, direct := nick.WKDPaths("alice@example.org")
	hash := nick.WKDHash("alice")
	const at = "example.org/.well-known/openpgpkey/"
	for _, tt := range []struct {
		name, address string
		status        int
		key           bool
	}{
		{"direct", direct, 200, true},
		{"advanced", advanced, 200, true},
		{"with port and case", "Example.ORG:443/.well-known/openpgpkey/hu/" + hash, 200, true},
		{"policy, direct", at + "policy", 200, false},
		{"policy, advanced", "openpgpkey." + at + "example.org/policy", 200, false},
		{"unknown", at + "hu/" + nick.WKDHash("zoe"), 404, false},
		{"disabled", at + "hu/" + nick.WKDHash("dora"), 404, false},
		{"without key", at + "hu/" + nick.WKDHash("eve"), 404, false},
		{"blocked", at + "hu/" + nick.WKDHash("root"), 404, false},
		{"damaged key", at + "hu/" + nick.WKDHash("broken"), 500, false},
		{"no hash", at + "hu/alice", 404, false},
		{"another file", at + "submission-address", 404, false},
		{"another host", "other.example/.well-known/openpgpkey/hu/" + hash, 404, false},
		{"another domain", "openpgpkey." + at + "other.example/hu/" + hash, 404, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			resp, body := w.do(c, directoryCall(w, tt.address))
			if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%d, origins %q, want %d", resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"), tt.status)
			}
			isKey := resp.Header.Get("Content-Type") == "application/octet-stream" && body == strings.TrimSuffix(string(key.Binary), "\n")
			if isKey != tt.key || tt.status == 200 && !tt.key && body != "" {
				t.Errorf("%s, %d bytes", resp.Header.Get("Content-Type"), len(body))
			}
		})
	}
	w.t = t
	head := directoryCall(w, direct)
	head.method = "HEAD"
	if resp, body := w.do(c, head); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(key.Binary)) {
		t.Errorf("HEAD: %s, %d bytes", resp.Status, resp.ContentLength)
	}
}

func TestDirectoryIsLimited(t *testing.T) {
	w := newWorld(t)
	w.cfg.Limits.Lookup = webapp.ConfigRate{Burst: 1, PerHour: 1}
	w.start()
	c := w.client()
	_, direct := nick.WKDPaths("zoe@example.org")
	for i, want := range []int{404, 429} {
		resp, _ := w.do(c, directoryCall(w, direct))
		if resp.StatusCode != want || (resp.Header.Get("Retry-After") != "") != (want == 429) {
			t.Errorf("request %d: %s", i, resp.Status)
		}
	}
}
