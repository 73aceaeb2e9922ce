package compile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/couch"
)

const updating = `{"updates": {
	"vendor": {"sources": ["http://10.7.0.1/repo", "https://updates.example/repo"], "root": "updates/vendor.json"},
	"director": {"sources": ["http://10.7.0.1/director"]},
	"windows": [{"days": "sun", "from": "02:00", "for": "3h"}],
}}`

// TestUpdates has all nodes update themselves, and one be a canary.
func TestUpdates(t *testing.T) {
	files := map[string]string{
		"common.json": updating, "files/updates/vendor.json": `{"signed": 1}`, "files/updates/director.json": `{"signed": 2}`,
		"tags/early.json": `{"updates": {"canary": true, "poll": "1h"}}`,
		"nodes/web1.json": `{"tags": "early", "ip_address": "10.7.0.15", "mesh": {"address": "10.99.0.5", "keepalive": true, "public_key": "` + strings.Repeat("A", 41) + `EE="}, "services": ["webapp", "ca", "nickserver"]}`,
	}
	out, err := compile.Compile(change(t, files), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range out.Documents {
		u := d.Updates
		if u == nil {
			t.Fatalf("%s does not update itself", name)
		}
		if u.Vendor.Root != `{"signed": 1}` || u.Director.Root != `{"signed": 2}` || len(u.Vendor.Sources) != 2 || u.Windows[0].From != "02:00" || !slices.Equal(u.Windows[0].Days, []string{"sun"}) {
			t.Errorf("%s: %+v", name, u)
		}
		if early := name == "web1"; u.Canary != early || u.Poll != 0 && !early || early && time.Duration(u.Poll) != time.Hour {
			t.Errorf("%s: %+v", name, u)
		}
		var c couch.Config
		if err := json.Unmarshal(u.Slot.Couch, &c); err != nil || c.Validate() != nil || len(c.URLs) != 3 || c.User != "agent" || c.PasswordFile != node.SlotPassword {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if d.Secrets[u.Slot.Secret] == "" || out.Secrets[u.Slot.Secret] == nil {
			t.Errorf("%s: it has no password", name)
		}
	}
	if strings.Contains(strings.Join(out.Warnings, " "), "update") {
		t.Errorf("it warns: %q", out.Warnings)
	}
}

// TestMirrors has two nodes keep copies, which all nodes ask first.
func TestMirrors(t *testing.T) {
	files := map[string]string{
		"common.json": updating, "files/updates/vendor.json": `{"signed": 1}`, "files/updates/director.json": `{"signed": 2}`,
		"tags/copies.json": `{"updates": {"mirror": {"keep": 3}}}`,
	}
	for _, name := range []string{"db1", "db2"} {
		text, err := os.ReadFile(filepath.Join(demo, "nodes", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		files["nodes/"+name+".json"] = strings.Replace(string(text), "{", `{"tags": "copies",`, 1)
	}
	out, err := compile.Compile(change(t, files), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name, tree string) string {
		return "http://" + out.Documents[name].Mesh.Address.Addr().String() + ":4480/" + tree + "/"
	}
	said := []string{"http://10.7.0.1/repo", "https://updates.example/repo"}
	for name, want := range map[string][]string{
		"db1":   {at("db1", "vendor"), at("db2", "vendor")},
		"db2":   {at("db2", "vendor"), at("db1", "vendor")},
		"db3":   {at("db1", "vendor"), at("db2", "vendor")},
		"mail1": {at("db2", "vendor"), at("db1", "vendor")},
	} {
		if got := out.Documents[name].Updates.Vendor.Sources; !slices.Equal(got, slices.Concat(want, said)) {
			t.Errorf("%s asks %q", name, got)
		}
	}
	m := out.Documents["db1"].Updates.Mirror
	if m == nil || m.Keep != 3 || !slices.Equal(m.Vendor, slices.Concat(said, []string{at("db2", "vendor")})) || !slices.Equal(m.Director, []string{"http://10.7.0.1/director", at("db2", "director")}) {
		t.Errorf("db1 keeps %+v", m)
	}
	if out.Documents["web1"].Updates.Mirror != nil {
		t.Error("web1 keeps copies")
	}
}

// TestUpdatesExternal has nodes agree in a database of others, whose certificate
// somebody signs whom not everybody knows.
func TestUpdatesExternal(t *testing.T) {
	files := map[string]string{
		"common.json": `{"couchdb": {"external": ["https://couch.other.example:6984"], "external_ca": "couch.crt"}, "updates": {
			"vendor": {"sources": ["https://updates.example/repo"]}, "director": {"sources": ["https://director.example/"], "root": "d.json"}}}`,
		"files/couch.crt": "PEM", "files/d.json": "{}", "nodes/db1.json": "", "nodes/db2.json": "", "nodes/db3.json": "",
	}
	out, err := compile.Compile(change(t, files), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	u := out.Documents["web1"].Updates
	if !strings.Contains(string(u.Slot.Couch), node.SlotAuthority) || u.Slot.Authority != "PEM" || u.Vendor.Root != "" {
		t.Errorf("got %+v", u)
	}
}

func TestBadUpdates(t *testing.T) {
	for name, test := range map[string]struct {
		common string
		want   string
	}{
		"no director":    {`{"updates": {"vendor": {"sources": ["https://updates.example/"]}, "director": {"sources": ["https://director.example/"]}}}`, "there is no file files/updates/director.json"},
		"no vendor":      {`{"updates": {"director": {"sources": ["https://director.example/"]}}}`, "/updates/vendor: "},
		"no vendor root": {`{"updates": {"vendor": {"sources": ["https://updates.example/"], "root": "v.json"}, "director": {"sources": ["https://director.example/"]}}}`, "there is no file files/v.json"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := provider.Open(changed(t, demo, map[string]string{"common.json": test.common}))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, not %q", err, test.want)
			}
		})
	}
}
