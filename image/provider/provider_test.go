package provider_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/services/protocol/certs"
)

func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// made is a new instance, its first operator and its vault.
func made(t testing.TB) (*provider.Instance, *provider.Operator, *provider.Vault) {
	t.Helper()
	dir, keys := filepath.Join(t.TempDir(), "demo"), filepath.Join(t.TempDir(), "keys", "alice.json")
	err := provider.New(dir, provider.Answers{Domain: "demo.example", Name: "Demo", Contact: "root@other.example", Enrollment: "invite", Operator: "alice"}, keys, now())
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
	return i, op, v
}

func open(t testing.TB, dir string) *provider.Instance {
	t.Helper()
	i, err := provider.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func write(t testing.TB, i *provider.Instance, name, text string) {
	t.Helper()
	if err := provider.Write(i.Dir, name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct{ name, base, over, want string }{
		{"added", `{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`},
		{"later wins", `{"a":1}`, `{"a":"x"}`, `{"a":"x"}`},
		{"objects merge", `{"a":{"b":1,"c":2}}`, `{"a":{"c":3}}`, `{"a":{"b":1,"c":3}}`},
		{"arrays replace", `{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		{"scalar over array", `{"a":[1]}`, `{"a":2}`, `{"a":[1,2]}`},
		{"append", `{"a":[1,2]}`, `{"+a":[2,3]}`, `{"a":[1,2,3]}`},
		{"append to a scalar", `{"a":1}`, `{"+a":2}`, `{"a":[1,2]}`},
		{"append to nothing", `{}`, `{"+a":2}`, `{"a":[2]}`},
		{"remove", `{"a":[1,"x",3]}`, `{"-a":["x",3]}`, `{"a":[1]}`},
		{"remove one", `{"a":[1,2]}`, `{"-a":1}`, `{"a":[2]}`},
		{"remove from nothing", `{}`, `{"-a":1}`, `{}`},
		{"replace", `{"a":{"b":1}}`, `{"!a":{"c":2}}`, `{"a":{"c":2}}`},
		{"replace by another type", `{"a":{"b":1}}`, `{"!a":[1]}`, `{"a":[1]}`},
		{"take away", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"prefix inside", `{"a":{"b":[1]}}`, `{"a":{"+b":[2]}}`, `{"a":{"b":[1,2]}}`},
		{"prefix inside of what is new", `{}`, `{"a":{"+b":[2],"c":null}}`, `{"a":{"b":[2]}}`},
		{"empty", `{"a":[],"b":{}}`, `{}`, `{"a":[],"b":{}}`},
		{"comments", "{ // x\n\"a\": [1, /* y */ 2,],}", `{}`, `{"a":[1,2]}`},
	} {
		if got, err := provider.Merge(tt.base, tt.over); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for name, tt := range map[string]struct{ base, over, want string }{
		"object and scalar": {"{\n\"a\":{}}", `{"a":1}`, `over.json:1:6: /a: this is a number, but an object in base.json:2; to replace it write "!a"`},
		"remove a member":   {`{"a":{}}`, `{"-a":1}`, `over.json:1:7: /a: "-" removes elements`},
		"twice":             {`{}`, "{\n  \"a\":1,\n  \"a\":2}", `over.json:3:3: /a: this is here twice`},
		"syntax":            {`{}`, "{\n  \"a\" 1}", `over.json:2:7: no valid JSON`},
		"expression":        {`{}`, `{"a":"= nodes['x']"}`, `over.json:1:6: /a: expressions are not evaluated`},
		"array":             {`{}`, `[]`, `over.json:1:1: an object is required`},
		"deep":              {`{}`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, `nested too deep`},
	} {
		if got, err := provider.Merge(tt.base, tt.over); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
	}
}

// TestLayers finds what each layer says, in LEAP's order.
func TestLayers(t *testing.T) {
	i, _, _ := made(t)
	write(t, i, "common.json", `{"contacts": ["common"], "time": {"wait": "10s"}, "location": {"name": "common"}}`)
	write(t, i, "common.production.json", `{"location": {"timezone": "+1"}}`)
	write(t, i, "services/mx.json", `{"mx": {"max_size": 1, "peer_rate": 1}, "+contacts": "mx"}`)
	write(t, i, "services/mx.production.json", `{"mx": {"peer_rate": 2}}`)
	write(t, i, "services/dns.json", `{"mx": {"max_size": 3}}`)
	write(t, i, "tags/base.json", `{"+contacts": ["base"], "location": {"name": "base"}}`)
	write(t, i, "tags/production.json", `{"tags": "base", "environment": "production", "location": {"name": "tag"}}`)
	write(t, i, "nodes/a.json", `{"ip_address": "192.0.2.1", "mesh": {"address": "10.99.0.1"}, "services": ["mx", "dns"], "tags": ["production"], "-contacts": "common"}`)
	n := open(t, i.Dir).Node("a")
	if n.Environment != "production" || !slices.Equal(n.Tags, []string{"base", "production"}) || !slices.Equal(n.Runs, []string{"dns", "mx", "relay"}) {
		t.Errorf("environment %q, tags %v, runs %v", n.Environment, n.Tags, n.Runs)
	}
	if n.MX.MaxSize != 3 || n.MX.PeerRate != 2 || n.Location.Name != "tag" || n.Location.Timezone != "+1" || n.Time.Wait.Or(0) != 10*time.Second {
		t.Errorf("got %s", n.JSON())
	}
	if want := []string{"mx", "base"}; !slices.Equal(n.Contacts, want) {
		t.Errorf("contacts %v, want %v", n.Contacts, want)
	}
}

// TestBadInstances spoils one file of a good instance and expects that file and
// line in the error.
func TestBadInstances(t *testing.T) {
	const good = `{"ip_address": "192.0.2.1", "mesh": {"address": "10.99.0.1"}`
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"unknown member":   {map[string]string{"nodes/a.json": good + ",\n\"ip_adress\": \"192.0.2.9\"}"}, []string{"nodes/a.json:2:1: /ip_adress: there is no such member; is it ip_address?"}},
		"other's member":   {map[string]string{"nodes/a.json": good + "}", "common.json": "{\n\"mx\": {\n  \"maxsize\": 1}}"}, []string{"common.json:3:3: /mx/maxsize: there is no such member; is it max_size?"}},
		"wrong type":       {map[string]string{"nodes/a.json": good + ",\n\"relay\": {\"burst\": \"many\"}}"}, []string{"nodes/a.json:2:20: /relay/burst: this is a string, but a number"}},
		"address":          {map[string]string{"nodes/a.json": "{\n\"ip_address\": \"192.0.2\"}"}, []string{"nodes/a.json:2:15: /ip_address:"}},
		"no address":       {map[string]string{"nodes/a.json": `{"mesh": {"address": "10.99.0.1"}}`}, []string{"nodes/a.json:1:1: /ip_address: a: an IP address is required"}},
		"required":         {map[string]string{"nodes/a.json": good + "}", "common.json": "{\n\"least_image\": \"REQUIRED\"}"}, []string{"common.json:2:16: /least_image: this is required"}},
		"same address":     {map[string]string{"nodes/a.json": good + "}", "nodes/b.json": "{\"mesh\": {\"address\": \"10.99.0.2\"},\n \"ip_address\": \"192.0.2.1\"}"}, []string{"nodes/b.json:2:16: /ip_address: b: 192.0.2.1 is also a's (nodes/a.json:1)"}},
		"same mesh":        {map[string]string{"nodes/a.json": good + "}", "nodes/b.json": "{\"ip_address\": \"192.0.2.2\",\n\"mesh\": {\n\"address\": \"10.99.0.1\"}}"}, []string{"nodes/b.json:3:12: /mesh/address: b: 10.99.0.1 is also a's (nodes/a.json:1)"}},
		"foreign mesh":     {map[string]string{"nodes/a.json": `{"ip_address": "192.0.2.1", "mesh": {"address": "10.98.0.1"}}`}, []string{"nodes/a.json:1:49: /mesh/address: a: 10.98.0.1 is no address of the mesh's network"}},
		"no mesh":          {map[string]string{"nodes/a.json": `{"ip_address": "192.0.2.1"}`}, []string{`write "mesh": {"address": "10.99.0.1"}`}},
		"unknown service":  {map[string]string{"nodes/a.json": good + ",\n\"services\": [\"mx\",\n\"exim\"]}"}, []string{`nodes/a.json:3:1: /services: there is no service "exim"; there are bigcouch`}},
		"added tags":       {map[string]string{"nodes/a.json": good + ",\n\"+tags\": [\"x\"]}", "tags/x.json": "{}"}, []string{`nodes/a.json:2:1: /tags: tags takes no prefix`}},
		"less services":    {map[string]string{"nodes/a.json": good + ", \"services\": [\"mx\", \"dns\"],\n\"-services\": \"mx\"}"}, []string{`nodes/a.json:2:1: /services: services takes no prefix`}},
		"services of all":  {map[string]string{"nodes/a.json": good + "}", "common.x.json": "{\n\"+services\": [\"mx\"]}"}, []string{`common.x.json:2:1: /services: services has no effect here: write it into files below nodes/`}},
		"tags of a tag":    {map[string]string{"nodes/a.json": good + "}", "tags/x.json": "{\n\"!tags\": [\"y\"]}"}, []string{`tags/x.json:2:1: /tags: tags takes no prefix`}},
		"tags of services": {map[string]string{"nodes/a.json": good + "}", "services/mx.json": "{\n\"tags\": [\"y\"]}"}, []string{`services/mx.json:2:1: /tags: tags has no effect here: write it into files below nodes/ or tags/`}},
		"unknown tag":      {map[string]string{"nodes/a.json": good + ",\n\"tags\": \"x\"}"}, []string{`nodes/a.json:2:9: /tags: there is no tag "x": write tags/x.json`}},
		"circular tags": {
			map[string]string{"nodes/a.json": good + `, "tags": "x"}`, "tags/x.json": `{"tags": ["y"]}`, "tags/y.json": "{\n\"tags\": \"x\"}"},
			[]string{"tags/y.json:2:9: /tags: tags in a circle: x → y → x"},
		},
		"two environments": {
			map[string]string{"nodes/a.json": good + ", \"tags\": [\"x\", \"y\"]}", "tags/x.json": `{"environment": "x"}`, "tags/y.json": `{"environment": "y"}`},
			[]string{"nodes/a.json:1:71: /tags: one of these tags makes the environment x, another one y"},
		},
		"environment":      {map[string]string{"nodes/a.json": good + ",\n\"environment\": \"a/b\"}"}, []string{`nodes/a.json:2:16: /environment: a: "a/b" is no name of an environment`}},
		"name of a node":   {map[string]string{"nodes/A_b.json": good + "}"}, []string{`nodes/A_b.json:1:1: "A_b" is no name of a node`}},
		"name of a host":   {map[string]string{"nodes/api.json": good + "}"}, []string{`api.demo.example is a name of the provider itself`}},
		"domain":           {map[string]string{"provider.json": "{\"name\": {\"en\": \"x\"},\n\"domain\": \"Demo\"}"}, []string{`provider.json:2:11: /domain: "Demo" is no domain`}},
		"policy":           {map[string]string{"provider.json": `{"domain": "demo.example", "name": {"en": "x"}, "enrollment_policy": "maybe"}`}, []string{`provider.json:1:70: /enrollment_policy`}},
		"user":             {map[string]string{"users/bob.json": "{\"role\": \"root\",\n\"certificate\": \"x\"}"}, []string{`users/bob.json:1:10: /role: "deploy" or "read-only"`, `users/bob.json:2:16: /certificate`}},
		"external and own": {map[string]string{"nodes/a.json": good + `, "services": ["couchdb"]}`, "common.json": "{\n\"couchdb\": {\"external\": [\"https://db.example:6984\"]}}"}, []string{`nodes/a.json:1:75: /services: a: the database is external (common.json:2)`}},
		"all at once":      {map[string]string{"nodes/a.json": `{"x": 1}`, "nodes/b.json": `{"y": 1}`}, []string{"nodes/a.json:1:2: /x", "nodes/b.json:1:2: /y"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := bare(t)
			for file, text := range tt.files {
				write(t, i, file, text)
			}
			_, err := provider.Open(i.Dir)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
		})
	}
}

// bare is an instance without operators and keys.
func bare(t testing.TB) *provider.Instance {
	t.Helper()
	i := &provider.Instance{Dir: t.TempDir()}
	write(t, i, "provider.json", `{"domain": "demo.example", "name": {"en": "Demo"}}`)
	return i
}

func TestNew(t *testing.T) {
	i, op, v := made(t)
	all, err := v.All()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ca.key", "client_ca.key", "node_ca.key", "operator_ca.key", "peer_ca.key", "signer.key"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) || !slices.Equal(i.Secrets, want) {
		t.Errorf("secrets %v and %v, want %v", got, i.Secrets, want)
	}
	pair, err := i.Certificate(op)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.Files["ca/operator_ca.crt"])
	if err := certs.VerifyClient(cert, roots, now()); err != nil || !slices.Equal(cert.Subject.OrganizationalUnit, []string{node.RoleDeploy}) {
		t.Errorf("operator's certificate: %v, %v", cert.Subject, err)
	}
	err = provider.New(i.Dir, provider.Answers{Domain: "demo.example", Name: "x", Enrollment: "open", Operator: "bob"}, filepath.Join(t.TempDir(), "k"), now())
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("made in a directory that is not empty: %v", err)
	}
	parent := t.TempDir()
	err = provider.New(filepath.Join(parent, "x"), provider.Answers{Domain: "nodomain", Name: "x", Enrollment: "open", Operator: "bob"}, filepath.Join(parent, "k"), now())
	left, _ := os.ReadDir(parent) // Nothing can be read of what is not there.
	if err == nil || len(left) > 0 {
		t.Errorf("a bad answer: %v, and %d files stay", err, len(left))
	}
	if info, err := os.Stat(filepath.Join(i.Dir, "secrets", "ca.key.age")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// keyOf writes an operator's keys into a file.
func keyOf(t *testing.T, op *provider.Operator) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "op.json")
	if err := op.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOperators(t *testing.T) {
	i, op, v := made(t)
	bob, err := provider.NewOperator("demo.example", "bob")
	if err != nil {
		t.Fatal(err)
	}
	req, err := bob.Request()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Unlock(bob); !errors.Is(err, provider.ErrLocked) {
		t.Errorf("a stranger unlocks: %v", err)
	}
	if _, err := i.AddUser(v, req, node.RoleDeploy, now()); err != nil {
		t.Fatal(err)
	}
	i = open(t, i.Dir)
	bobs, err := i.Unlock(bob)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bobs.Get("ca.key"); err == nil || !strings.Contains(err.Error(), "not encrypted to you") {
		t.Errorf("before rekeying: %v", err)
	}
	if v, err = i.Unlock(op); err != nil {
		t.Fatal(err)
	}
	if err := v.Rekey(); err != nil {
		t.Fatal(err)
	}
	if key, err := bobs.Get("ca.key"); err != nil || !bytes.Contains(key, []byte("PRIVATE KEY")) {
		t.Errorf("after rekeying: %.20s, %v", key, err)
	}
	if _, err := i.AddUser(v, req, node.RoleRead, now()); err == nil {
		t.Error("added twice")
	}
	if _, err := v.Get("nothing"); !errors.Is(err, provider.ErrNoSecret) {
		t.Errorf("got %v", err)
	}
	if err := v.Put("../x", []byte("x")); err == nil {
		t.Error("a secret got out")
	}
	path := keyOf(t, bob)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.ReadOperator(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("keys that others read: %v", err)
	}
	if made, err := i.UpdateUsers(v, false, now()); err != nil || len(made) > 0 {
		t.Errorf("renewed %v, %v", made, err)
	}
	if made, err := i.UpdateUsers(v, false, now().AddDate(0, 11, 0)); err != nil || len(made) != 2 {
		t.Errorf("renewed %v, %v", made, err)
	}
	if _, err := open(t, i.Dir).Certificate(bob); err != nil {
		t.Errorf("a renewed certificate: %v", err)
	}
}

// TestAuthorities makes authorities anew shortly before they end: what they have
// signed is good under either certificate.
func TestAuthorities(t *testing.T) {
	i, op, v := made(t)
	if made, err := i.RenewAuthorities(v, true, now()); err != nil || len(made) > 0 || i.Ending(now()) != nil {
		t.Errorf("new ones: made %v, %v, and %v", made, err, i.Ending(now()))
	}
	old := string(i.Files["ca/operator_ca.crt"])
	late := now().AddDate(9, 1, 0)
	if made, err := i.UpdateUsers(v, true, late); err != nil || len(made) != 1 {
		t.Fatalf("made %v, %v", made, err)
	}
	signed, err := i.Certificate(op)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := i.RenewAuthorities(v, false, late); err != nil || len(made) != 4 {
		t.Errorf("made %v, %v", made, err)
	}
	if err := i.Ending(late); err == nil || !strings.Contains(err.Error(), `files/ca/ca.crt ends on 2036-`) || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("it says %v", err)
	}
	if made, err := i.RenewAuthorities(v, true, late); err != nil || !slices.Equal(made, []string{"files/ca/ca.crt"}) || i.Ending(late) != nil {
		t.Errorf("made %v, %v, and %v", made, err, i.Ending(late))
	}
	if err := i.Ending(late.AddDate(0, 11, 15)); err == nil || !strings.Contains(err.Error(), "users/alice.json: his certificate ends on") {
		t.Errorf("it says %v", err)
	}
	for name, ca := range map[string]string{"the old": old, "the new": string(open(t, i.Dir).Files["ca/operator_ca.crt"])} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ca))
		if err := certs.VerifyClient(signed.Leaf, roots, late); err != nil {
			t.Errorf("under %s certificate: %v", name, err)
		}
	}
	if _, err := x509.ParseCertificate(signed.Certificate[0]); err != nil || old == string(i.Files["ca/operator_ca.crt"]) {
		t.Errorf("it is the same as before, %v", err)
	}
}

// TestLost takes away keys that others rely on: none is made anew in their place.
func TestLost(t *testing.T) {
	lose := func(i *provider.Instance, name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(i.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	i, _, v := made(t)
	lose(i, "secrets/signer.key.age")
	if made, err := i.MakeAuthorities(v, now()); err != nil || !slices.Equal(made, []string{"signer.key"}) {
		t.Errorf("before there is a node: made %v, %v", made, err)
	}
	lose(i, "secrets/client_ca.key.age")
	if made, err := i.MakeAuthorities(v, now()); !errors.Is(err, provider.ErrLost) || len(made) > 0 || !strings.Contains(err.Error(), "remove files/ca/client_ca.crt") {
		t.Errorf("of what is certified: made %v, %v", made, err)
	}
	i, _, v = made(t)
	i, err := i.AddNode(v, "db1", []string{"services:couchdb", "ip_address:192.0.2.1"}, now())
	if err != nil {
		t.Fatal(err)
	}
	write(t, i, "compiled/db1.json", "{}")
	for _, name := range []string{"secrets/signer.key.age", "secrets/node_ca.key.age", "files/ca/node_ca.crt"} {
		lose(i, name)
		i = open(t, i.Dir)
		if made, err := i.MakeAuthorities(v, now()); !errors.Is(err, provider.ErrLost) || len(made) > 0 || !strings.Contains(err.Error(), "secrets/signer.key.age is lost") {
			t.Errorf("without %s: made %v, %v", name, made, err)
		}
	}
	i, _, v = made(t)
	if i, err = i.AddNode(v, "db1", []string{"services:couchdb", "ip_address:192.0.2.1"}, now()); err != nil {
		t.Fatal(err)
	}
	lose(i, "secrets/node.db1.agent.key.age")
	if _, err := i.UpdateCerts(v, i.Nodes, false, now()); !errors.Is(err, provider.ErrLost) || !strings.Contains(err.Error(), "leap node identity db1 FILE --reinstall") {
		t.Errorf("without the agent's key: %v", err)
	}
	lose(i, "secrets/ca.key.age")
	if _, err := i.RenewAuthorities(v, true, now()); !errors.Is(err, provider.ErrLost) {
		t.Errorf("without the authority's key: %v", err)
	}
}

func TestNodes(t *testing.T) {
	i, _, v := made(t)
	i, err := i.AddNode(v, "db1", []string{"services:couchdb,soledad", "ip_address:192.0.2.1", "location.name:Amsterdam"}, now())
	if err != nil {
		t.Fatal(err)
	}
	n := i.Node("db1")
	if n.Mesh.Address.String() != "10.99.0.1" || n.Location.Name != "Amsterdam" || !slices.Equal(n.Runs, []string{"bigcouch", "couchsetup", "soledad", "tapicero"}) {
		t.Errorf("got %s, runs %v", n.JSON(), n.Runs)
	}
	if i, err = i.AddNode(v, "web", []string{"services:webapp", "ip_address:192.0.2.2", `network.interfaces:[{"name":"eth0","dhcp":true}]`}, now()); err != nil {
		t.Fatal(err)
	}
	cert, err := certs.ParseCert(i.Files["nodes/web/server.crt"])
	if want := []string{"web.demo.example", "demo.example", "api.demo.example", "openpgpkey.demo.example", "nicknym.demo.example"}; err != nil || !slices.Equal(cert.DNSNames, want) {
		t.Errorf("names %v, want %v, %v", cert.DNSNames, want, err)
	}
	if _, err := i.AddNode(v, "x", []string{"ip_address:192.0.2.2"}, now()); err == nil || !strings.Contains(err.Error(), "is also web's") {
		t.Errorf("a duplicate: %v", err)
	}
	if _, err := os.Stat(filepath.Join(i.Dir, "nodes/x.json")); err == nil {
		t.Error("a node that was refused stays")
	}
	write(t, i, "nodes/web.json", "// The front.\n"+read(t, i, "nodes/web.json"))
	if err := provider.Set(i.Dir, "nodes/web.json", provider.Member{Pointer: "/mesh/public_key", Value: "AAAA"}, provider.Member{Pointer: "/network", Value: nil}, provider.Member{Pointer: "/gate/ready", Value: "1m"}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, i, "nodes/web.json"); !strings.Contains(text, "// The front.") || strings.Contains(text, "interfaces") || open(t, i.Dir).Node("web").Mesh.PublicKey != "AAAA" {
		t.Errorf("after it was changed: %s", text)
	}
	before, err := v.Get("node.db1.agent.key")
	if err != nil {
		t.Fatal(err)
	}
	if i, err = i.MoveNode(v, "db1", "db9", now()); err != nil {
		t.Fatal(err)
	}
	after, err := v.Get("node.db9.agent.key")
	if err != nil || !bytes.Equal(before, after) || i.Node("db1") != nil || i.Node("db9").Mesh.Address.String() != "10.99.0.1" {
		t.Errorf("moved: %v", err)
	}
	if err := i.Expiring(i.Node("db9"), now()); err != nil {
		t.Error(err)
	}
	if err := i.Expiring(i.Node("db9"), now().AddDate(1, 0, -10)); err == nil || !strings.Contains(err.Error(), "leap cert update") {
		t.Errorf("expiring: %v", err)
	}
	if err := i.RemoveNode("db9"); err != nil {
		t.Fatal(err)
	}
	i = open(t, i.Dir)
	if len(i.Nodes) != 1 || slices.ContainsFunc(i.Secrets, func(s string) bool { return strings.Contains(s, "db9") }) {
		t.Errorf("after removing: %v", i.Secrets)
	}
}

func read(t *testing.T, i *provider.Instance, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExpand: a companion of a classic service stays away where it is listed by
// its own name.
func TestExpand(t *testing.T) {
	i := bare(t)
	for k, services := range []string{`"webapp"`, `"nickserver"`, `"mx"`} {
		name := string(rune('a' + k))
		write(t, i, "nodes/"+name+".json", `{"ip_address": "192.0.2.`+name2(k)+`", "mesh": {"address": "10.99.0.`+name2(k)+`"}, "services": [`+services+`]}`)
	}
	i = open(t, i.Dir)
	got := map[string][]string{}
	for _, n := range i.Nodes {
		got[n.Name] = n.Runs
	}
	want := map[string][]string{"a": {"ca", "webapp"}, "b": {"nickserver"}, "c": {"mx", "relay"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func name2(k int) string { return string(rune('1' + k)) }

func TestFilter(t *testing.T) {
	i := bare(t)
	write(t, i, "tags/eu.json", `{}`)
	for name, more := range map[string]string{
		"a1": `"services": ["webapp"], "environment": "production"`, "a2": `"services": ["webapp"], "environment": "test", "tags": ["eu"]`,
		"b1": `"services": ["couchdb"], "environment": "production", "tags": ["eu"]`, "c1": `"services": ["webapp"], "enabled": false`,
	} {
		write(t, i, "nodes/"+name+".json", `{"ip_address": "192.0.2.`+name[1:]+map[byte]string{'a': "1", 'b': "2", 'c': "3"}[name[0]]+`", "mesh": {"address": "10.99.0.`+name[1:]+map[byte]string{'a': "1", 'b': "2", 'c': "3"}[name[0]]+`"}, `+more+`}`)
	}
	i = open(t, i.Dir)
	for words, want := range map[string]string{
		"": "a1 a2 b1", "webapp": "a1 a2", "a1 b1": "a1 b1", "webapp +production": "a1", "webapp couchdb +eu": "a2 b1", "+eu": "a2 b1",
		"+eu +production": "b1", "c1": "", "nickserver": "a1 a2", "bigcouch": "b1", "dns": "",
	} {
		f, err := provider.ParseFilter(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		list, err := i.Select(f, false)
		var names []string
		for _, n := range list {
			names = append(names, n.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%q chooses %q, %v, want %q", words, got, err, want)
		}
	}
	f, err := provider.ParseFilter([]string{"webap"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Select(f, false); err == nil || !strings.Contains(err.Error(), `nothing here is called "webap"; there are a1, a2`) {
		t.Errorf("got %v", err)
	}
	for _, w := range []string{"", "+", "++a", "a b"} {
		if _, err := provider.ParseFilter([]string{w}); err == nil {
			t.Errorf("%q is a filter", w)
		}
	}
}

// FuzzParseFilter: a filter that was read is read again from its text.
func FuzzParseFilter(f *testing.F) {
	f.Add("webapp +production a1")
	f.Add("+")
	f.Fuzz(func(t *testing.T, text string) {
		one, err := provider.ParseFilter(strings.Fields(text))
		if err != nil {
			return
		}
		two, err := provider.ParseFilter(strings.Fields(one.String()))
		if err != nil || two.String() != one.String() {
			t.Errorf("%q becomes %q, %v", one, two, err)
		}
	})
}

// FuzzRead: what is wrong with a file has a place, and what is right stays so.
func FuzzRead(f *testing.F) {
	f.Add(`{"ip_address": "192.0.2.1", "mesh": {"address": "10.99.0.1"}, "services": ["mx"], "+contacts": "a", // x` + "\n" + `"network": {"interfaces": [{"name": "eth0", "addresses": ["192.0.2.1/24"]}]},}`)
	f.Add(`{"a": {"!b": null, "-c": [1]}}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		out, err := provider.Read(text)
		if err != nil {
			if e, ok := errors.AsType[*node.Error](err); !ok || e.File == "" || e.Line < 1 || e.Column < 1 {
				t.Errorf("no place: %v", err)
			}
			return
		}
		again, err := provider.Read(out)
		if err != nil || again != out {
			t.Errorf("%s becomes %s, %v", out, again, err)
		}
	})
}
