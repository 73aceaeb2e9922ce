package compile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/bigcouch"
	"leap.example/services/couch"
	"leap.example/services/relay"
)

var (
	update  = flag.Bool("update", false, "write the golden files anew")
	newDemo = flag.Bool("new", false, "make the keys of testdata/demo anew, too")
)

const demo = "testdata/demo"

func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// secrets are those of testdata/demo, which protect nothing.
func secrets(t testing.TB) map[string][]byte { return secretsIn(t, "testdata/secrets.json") }

func secretsIn(t testing.TB, path string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for name, value := range all {
		out[name] = []byte(value)
	}
	return out
}

func open(t testing.TB, dir string) *provider.Instance {
	t.Helper()
	i, err := provider.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestMakeDemo makes the keys of the golden instance: five nodes, as they are in
// the whole cluster's tests.
func TestMakeDemo(t *testing.T) {
	if !*newDemo {
		t.Skip("the keys are there; -new makes others")
	}
	makeDemo(t, demo, "testdata/secrets.json", "demo.example", map[string]string{
		"common.json":            `{"time": {"servers": ["10.7.0.1"]}, "gate": {"ready": "1m", "watch": "5s"}, "location": {"name": "Amsterdam", "country_code": "NL", "timezone": "+1", "hemisphere": "N"}}`,
		"services/webapp.json":   "{\n\t// The first user of this name looks after the others.\n\t\"webapp\": {\"admins\": [\"admin\"], \"about_file\": \"webapp/about.txt\", \"legacy_clients\": true},\n}\n",
		"files/webapp/about.txt": "# About us\n",
	}, [][]string{
		{"db1", "services:couchdb,soledad,tapicero", "couchdb.zone:one"},
		{"db2", "services:couchdb,soledad,tapicero"},
		{"db3", "services:couchdb,soledad,tapicero"},
		{"mail1", "services:mx,relay,dns", `network.interfaces:[{"mac":"52:54:00:77:00:05","addresses":["10.7.0.14/24"],"gateways":["10.7.0.1"]}]`, `dns.resolver.upstreams:["10.7.0.1:53"]`},
		{"web1", "services:webapp,ca,nickserver", "mesh.keepalive:true"},
	})
}

// makeDemo makes an instance under dir, and its secrets in a file beside it.
func makeDemo(t *testing.T, to, secretsFile, domain string, files map[string]string, nodes [][]string) {
	t.Helper()
	dir, keys := filepath.Join(t.TempDir(), "demo"), filepath.Join(t.TempDir(), "keys")
	err := provider.New(dir, provider.Answers{Domain: domain, Name: "Demo", Contact: "root@other.example", Enrollment: "invite", Operator: "alice"}, keys, now())
	if err != nil {
		t.Fatal(err)
	}
	op, err := provider.ReadOperator(keys)
	if err != nil {
		t.Fatal(err)
	}
	i := open(t, dir)
	v, err := i.Unlock(op)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := provider.Write(dir, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	i = open(t, dir)
	for k, n := range nodes {
		key := strings.Repeat("A", 41) + string(rune('A'+k)) + "E="
		if i, err = i.AddNode(v, n[0], append(n[1:], "ip_address:10.7.0.1"+string(rune('1'+k)), "mesh.public_key:"+key), now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Make(compile.Needs(i), now()); err != nil {
		t.Fatal(err)
	}
	all, err := v.All()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name, value := range all {
		texts[name] = string(value)
	}
	if err := provider.WriteJSON(filepath.Dir(secretsFile), filepath.Base(secretsFile), texts); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.RemoveAll(to), os.RemoveAll(filepath.Join(dir, "secrets")), os.CopyFS(to, os.DirFS(dir)), os.MkdirAll("testdata/golden", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestGolden(t *testing.T) {
	i, all := open(t, demo), secrets(t)
	out, err := compile.Compile(i, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Warnings) > 0 {
		t.Errorf("warnings: %q", out.Warnings)
	}
	for name, doc := range out.Documents {
		text, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", append(text, '\n'))
		for secret, value := range all {
			if s := strings.TrimSpace(string(value)); bytes.Contains(text, []byte(s)) {
				t.Errorf("%s: the document holds the secret %s", name, secret)
			}
		}
	}
	again, err := compile.Compile(open(t, demo), all)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range out.Documents {
		if again.Documents[name].Digest() != doc.Digest() {
			t.Errorf("%s: compiled twice, it is not the same", name)
		}
	}
	zone, err := compile.ZoneOf(i, "", all)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "zone", []byte(compile.ZoneText(zone)))
	golden(t, "hosts", []byte(compile.HostsText(i, "")))
	ports, err := json.MarshalIndent(compile.Ports(i, out.Documents), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "firewall", append(ports, '\n'))
	for _, n := range compile.Needs(i) {
		if _, ok := all[n.Name]; !ok {
			t.Errorf("the secret %s is needed and was not made", n.Name)
		}
	}
}

// section reads a section of a service.
func section[T any](t *testing.T, d node.Document, service, name string) (v T) {
	t.Helper()
	if err := json.Unmarshal(d.Services[service].Sections[name], &v); err != nil {
		t.Fatalf("%s: %s: %v", service, name, err)
	}
	return v
}

// TestDatabase: all database nodes know the same placement, and everybody knows
// all of them.
func TestDatabase(t *testing.T) {
	out, err := compile.Compile(open(t, demo), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	one := section[bigcouch.Config](t, out.Documents["db1"], "bigcouch", "bigcouch")
	for _, name := range []string{"db2", "db3"} {
		other := section[bigcouch.Config](t, out.Documents[name], "bigcouch", "bigcouch")
		if diff := cmp.Diff(one.Cluster.Placement, other.Cluster.Placement); diff != "" || other.Cluster.Node != name || len(one.Cluster.Placement) != 9 {
			t.Errorf("%s: %s", name, diff)
		}
	}
	want := []string{"http://10.99.0.1:5984", "http://10.99.0.2:5984", "http://10.99.0.3:5984"}
	for name, service := range map[string]string{"web1": "webapp", "mail1": "mx", "db2": "soledad"} {
		if got := section[couch.Config](t, out.Documents[name], service, "couch").URLs; !slices.Equal(got, want) {
			t.Errorf("%s: %s reaches the database at %v", name, service, got)
		}
	}
	for _, d := range out.Documents {
		for name, s := range d.Services {
			for _, l := range s.Listeners {
				if l.From == "public" && slices.Contains([]uint16{5984, 5986}, l.Port) {
					t.Errorf("%s of %s is public", name, d.Node)
				}
			}
		}
	}
}

// change copies the golden instance and writes files into it.
func change(t *testing.T, files map[string]string) *provider.Instance {
	t.Helper()
	return open(t, changed(t, demo, files))
}

// changed copies an instance and writes files into it.
func changed(t *testing.T, from string, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if text == "" {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := provider.Write(dir, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExternal(t *testing.T) {
	none := map[string]string{"common.json": `{"couchdb": {"external": ["https://couch.other.example:6984"], "external_ca": "couch.crt", "copies": 3}}`, "files/couch.crt": "PEM"}
	for _, n := range []string{"db1", "db2", "db3"} {
		none["nodes/"+n+".json"] = `{"ip_address": "10.7.0.1` + n[2:] + `", "mesh": {"address": "10.99.0.` + n[2:] + `", "public_key": "` + strings.Repeat("A", 41) + string(n[2]-'1'+'A') + `E="}, "services": ["soledad", "tapicero"]}`
	}
	out, err := compile.Compile(change(t, none), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	c := section[couch.Config](t, out.Documents["db1"], "soledad", "couch")
	if !c.External || c.N != 3 || c.Resolver != "10.99.0.4:53" || c.CAFile != "/run/leap/soledad/files/couch_ca.crt" || out.Documents["db1"].Services["soledad"].Files["couch_ca.crt"] != "PEM" {
		t.Errorf("got %+v", c)
	}
	keepers := 0
	for _, d := range out.Documents {
		if _, ok := d.Services["couchsetup"]; ok {
			keepers++
		}
	}
	if keepers != 1 {
		t.Errorf("%d nodes keep the databases in order", keepers)
	}
}

func TestBadInstances(t *testing.T) {
	for name, tt := range map[string]struct {
		files   map[string]string
		without string // Secret.
		want    string
	}{
		"missing secret":  {nil, "node.db2.store.key", "nodes/db2.json:"},
		"missing file":    {map[string]string{"services/webapp.json": "{\n\"webapp\": {\"privacy_file\":\n \"x.txt\"}}"}, "", "services/webapp.json:3:2: /webapp/privacy_file: web1: there is no file files/x.txt"},
		"made here":       {map[string]string{"services/mx.json": "{\n\"mx\": {\n \"listen\": \":26\"}}"}, "", "services/mx.json:3:12: /mx/listen: mail1: this follows from the instance"},
		"refused section": {map[string]string{"common.json": "{\n\"relay\": {\"retry\": [\"soon\"]}}"}, "", "common.json:2:10: /relay: mail1: retry:"},
		"no database":     {map[string]string{"nodes/db1.json": "", "nodes/db2.json": "", "nodes/db3.json": ""}, "", "mail1: mx needs a database, and no node of this environment has the service couchdb"},
		"shards differ":   {map[string]string{"nodes/db2.json": "{\"ip_address\": \"10.7.0.12\", \"mesh\": {\"address\": \"10.99.0.2\"}, \"services\": [\"couchdb\"],\n\"couchdb\": {\"shards\": 4}}"}, "", "nodes/db2.json:2:12: /couchdb: db2: shards, copies and heartbeat are not those of db1"},
		"hasty heartbeat": {map[string]string{"common.json": "{\"couchdb\": {\"heartbeat\": \"1ms\"}}"}, "", "heartbeat \"1ms\": a duration from 100ms to 1m0s is needed"},
		"no certificate":  {map[string]string{"files/nodes/web1/server.crt": ""}, "", `there is no files/nodes/web1/server.crt: run "leap cert update web1"`},
		"refused network": {map[string]string{"common.json": `{"network": {"interfaces": [{"name": "eth0"}]}}`}, "", "/network/interfaces/0: dhcp, router or addresses is required"},
		"no authority":    {map[string]string{"files/ca/ca.crt": ""}, "", "files/ca/ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			all := secrets(t)
			delete(all, tt.without)
			_, err := compile.Compile(change(t, tt.files), all)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestNoOperator: nobody locks himself out.
func TestNoOperator(t *testing.T) {
	i := change(t, nil)
	if err := os.RemoveAll(filepath.Join(i.Dir, "users")); err != nil {
		t.Fatal(err)
	}
	if _, err := compile.Compile(open(t, i.Dir), secrets(t)); !errors.Is(err, compile.ErrNoOperator) {
		t.Errorf("got %v", err)
	}
}

// TestHeartbeat: slow nodes wait longer for each other.
func TestHeartbeat(t *testing.T) {
	out, err := compile.Compile(change(t, map[string]string{"common.json": `{"couchdb": {"heartbeat": "1m"}}`}), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out.Documents["db1"].Services["bigcouch"].Sections["bigcouch"]); !strings.Contains(got, `"heartbeat":"1m0s"`) {
		t.Errorf("the database is told %s", got)
	}
}

// TestSeveralMailServers: the relay finds them by their common name, and mail
// from a relay that takes none in is not refused.
func TestSeveralMailServers(t *testing.T) {
	i := change(t, map[string]string{
		"nodes/mail2.json":             `{"ip_address": "10.7.0.20", "mesh": {"address": "10.99.0.20"}, "services": ["mx"]}`,
		"files/nodes/mail2/server.crt": "PEM",
	})
	all := secrets(t)
	all["node.mail2.server.key"] = []byte("key")
	out, err := compile.Compile(i, all)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := out.Documents["mail2"].Services["relay"]; ok {
		t.Error("mail2 has a relay, although another node lists it")
	}
	c := section[relay.Config](t, out.Documents["mail1"], "relay", "relay")
	if c.MX.Address != "mx.demo.example:25" || c.MX.Name != "mx.demo.example" {
		t.Errorf("hands over to %+v", c.MX)
	}
	z, err := compile.ZoneOf(i, "", all)
	if err != nil {
		t.Fatal(err)
	}
	text := compile.ZoneText(z)
	for _, want := range []string{`"v=spf1 mx a:smtp.demo.example -all"`, "MX\t10 mail1.demo.example.", "MX\t20 mail2.demo.example."} {
		if !strings.Contains(text, want) {
			t.Errorf("the zone has no %s:\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(out.Warnings, func(w string) bool { return strings.Contains(w, "leap node init mail2") }) {
		t.Errorf("warnings: %q", out.Warnings)
	}
	if peers := out.Documents["mail1"].Mesh.Peers; len(peers) != 4 || out.Serials["demo.example"].Serial != 1 {
		t.Errorf("%d peers, serials %v", len(peers), out.Serials)
	}
}

// TestSerial: the zone's number grows when the zone changes.
func TestSerial(t *testing.T) {
	i, all := change(t, nil), secrets(t)
	for k, want := range []uint32{1, 1, 2} {
		if k == 2 {
			if err := provider.Set(i.Dir, "provider.json", provider.Member{Pointer: "/dns/ttl", Value: 60}); err != nil {
				t.Fatal(err)
			}
		}
		i = open(t, i.Dir)
		out, err := compile.Compile(i, all)
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Serials["demo.example"].Serial; got != want {
			t.Errorf("time %d: %d, want %d", k, got, want)
		}
		if err := provider.WriteJSON(i.Dir, "zones.json", out.Serials); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdentity(t *testing.T) {
	i, all := open(t, demo), secrets(t)
	id, err := compile.Identity(i, i.Node("db1"), all)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := compile.SignIdentity(id, all)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := node.ReadIdentityDisk(disk)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.Open(id.Signer, node.ForIdentity)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := node.ParseIdentity(text); err != nil || read.Node != "db1" || read.Interface.Name != "eth0" {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, err := compile.Identity(i, i.Node("db1"), nil); err == nil {
		t.Error("an identity without keys")
	}
	if got := slices.Sorted(maps.Keys(all)); len(got) < 20 {
		t.Errorf("only %d secrets", len(got))
	}
}
