package node_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"leap.example/appliance/node"
)

func golden(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/mail.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestParseDocument reads a document and finds that writing and reading it again
// changes nothing.
func TestParseDocument(t *testing.T) {
	d, err := node.ParseDocument([]byte(golden(t)))
	if err != nil {
		t.Fatal(err)
	}
	if d.Node != "mail1" || d.Mesh.Peers[0].Endpoint.Port() != 51820 || d.Services["mx"].Listeners[0].Port != 25 || d.Gate.Ready.Or(1) != 60e9 {
		t.Errorf("read %+v", d)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := node.ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != d.Digest() {
		t.Error("writing and reading it changed it")
	}
	again.Generation = 8
	if again.Digest() != d.Digest() {
		t.Error("the generation is part of the digest")
	}
	again.Services["mx"] = node.Service{}
	if again.Digest() == d.Digest() {
		t.Error("a service is no part of the digest")
	}
}

// TestBadDocuments changes one place of a good document and expects that place
// to be named.
func TestBadDocuments(t *testing.T) {
	for _, test := range []struct{ name, old, new, want string }{
		{"unknown member", `"environment"`, `"enviroment"`, `5:3: /enviroment: there is no such member; there are agent, environment, gate`},
		{"other case", `"node": "mail1"`, `"Node": "mail1"`, `4:3: /Node: there is no such member`},
		{"deep unknown member", `"gateways"`, `"gateway"`, `13:9: /network/interfaces/0/gateway: there is no such member`},
		{"twice", `"generation": 7,`, `"generation": 7, "node": "mail1",`, `/node: this is here twice`},
		{"wrong type", `"generation": 7`, `"generation": "7"`, `/generation: this cannot be a string`},
		{"negative", `"generation": 7`, `"generation": -7`, `/generation: this cannot be a number`},
		{"syntax", `"generation": 7,`, `"generation": 7`, `no valid JSON`},
		{"more", "\n}\n", "\n}\n{}", `there is more after the value`},
		{"cut", "\n}\n", "\n", `the text ends in the middle`},
		{"future schema", `"schema": 1`, `"schema": 99`, `2:13: /schema: schema 99 is not one of those that this release reads, 1 to 1`},
		{"domain", `"demo.example"`, `"demo"`, `/provider: "demo" is no domain`},
		{"node", `"mail1"`, `"Mail 1"`, `/node: "Mail 1" is no name of a node`},
		{"no address", `"addresses": ["10.7.0.11/24", "fd07::11/64"],`, ``, `/network/interfaces/0: dhcp, router or addresses is required`},
		{"prefix", `"10.7.0.11/24"`, `"10.7.0.11"`, `no '/'`},
		{"foreign gateway", `"10.7.0.1", "fe80::1"`, `"10.8.0.1"`, `/network/interfaces/0/gateways/0: 10.8.0.1 is in no network of this card`},
		{"two gateways", `"10.7.0.1", "fe80::1"`, `"10.7.0.1", "10.7.0.2"`, `a second default route`},
		{"hardware address", `52:54:00:77:00:01`, `52:54:00:77:00`, `/network/interfaces/0/mac:`},
		{"host", `"db1.node.demo.example"`, `"db1 node"`, `/network/hosts/db1 node:`},
		{"mesh key", `AAAAE=`, `AAE=`, `/mesh/peers/0/public_key: 32 bytes`},
		{"own mesh address", `"address": "10.99.0.2"`, `"address": "10.99.0.1"`, `/mesh/peers/0/address: an address of the mesh`},
		{"foreign mesh address", `"address": "10.99.0.2"`, `"address": "10.98.0.2"`, `/mesh/peers/0/address: an address of the mesh`},
		{"no agent", `"port": 4499, `, ``, `/agent/port: a port is required`},
		{"nobody deploys", `"port": 4499, `, `"port": 4499, "operators": {"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU": "read-only"}, `, `/agent/operators: nobody has the role "deploy"`},
		{"no fingerprint", `"port": 4499, `, `"port": 4499, "operators": {"47DEQpj8": "deploy"}, `, `/agent/operators: fingerprints of keys are required`},
		{"long wait", `"20s"`, `"25h"`, `/time/wait: between 0 and 24h`},
		{"no duration", `"20s"`, `"20"`, `missing unit in duration`},
		{"no sources", `"sources": ["https://updates.example/repo"]`, `"sources": []`, `/updates/vendor/sources: one to 16 URLs`},
		{"no URL", `"https://director.demo.example/"`, `"ftp://director.demo.example/"`, `/updates/director/sources/0: a URL of the form`},
		{"password in a URL", `"https://director.demo.example/"`, `"https://a:b@demo.example/"`, `/updates/director/sources/0: a URL of the form`},
		{"no director", `"root": "{}"`, `"root": ""`, `/updates/director/root: the metadata of a root`},
		{"no metadata", `"root": "{}"`, `"root": "{"`, `/updates/director/root: this is not the metadata`},
		{"often", `"poll": "4h"`, `"poll": "1ms"`, `/updates/poll: between 1s and`},
		{"day", `"sat"`, `"saturday"`, `/updates/windows/0/days: days of the week`},
		{"day twice", `"sun", "sat"`, `"sun", "sun"`, `/updates/windows/0/days: days of the week`},
		{"hour", `"02:30"`, `"2:30"`, `/updates/windows/0/from: hours and minutes`},
		{"long window", `"for": "3h"`, `"for": "25h"`, `/updates/windows/0/for: between 1m`},
		{"slot", `"couch": {"user": "agent"}`, `"couch": 7`, `/updates/slot/couch: an object is required`},
		{"no slot", `"couch": {"user": "agent"}, `, ``, `/updates/slot/couch: an object is required`},
		{"password of the slot", `"secret": "mx-server.key"`, `"secret": "other"`, `/updates/slot/secret: the name of one`},
		{"service", `"mx": {
`, `"exim": {
`, `/services/exim: there is no such service; there are bigcouch, ca`},
		{"daemon", `"mx": {"listen": ":25"}`, `"daemon": {"listen": ":25"}`, `/services/mx/sections/daemon: the node writes this`},
		{"port of the agent", `"port": 25`, `"port": 4499`, `/services/mx/listeners/0: the agent already listens on port 4499`},
		{"from users of nothing", `"public"`, `"tunnel"`, `/services/mx/listeners/0: this node is no gateway`},
		{"from nowhere", `"public"`, `"anywhere"`, `/services/mx/listeners/0: a protocol`},
		{"outside", `"certs/server.crt"`, `"../../etc/passwd"`, `/services/mx/files/..~1..~1etc~1passwd: a relative path`},
		{"secret of nobody", `"server.key": "mx-server.key"`, `"server.key": "other"`, `/services/mx/secrets/server.key: a file name and the name`},
		{"digest", `"e3b0`, `"E3B0`, `/secrets/mx-server.key: a file name and a SHA-256`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(golden(t), test.old, test.new, 1)
			if text == golden(t) {
				t.Fatal("the test changes nothing")
			}
			_, err := node.ParseDocument([]byte(text))
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, which is not about %q", err, test.want)
			}
			var e *node.Error
			if !errors.As(err, &e) || e.Line == 0 {
				t.Errorf("%q names no place", err)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	seen := map[int]string{}
	for _, s := range node.Services() {
		id, ok := node.ID(s)
		if !ok || id < 1000 || seen[id] != "" {
			t.Errorf("%s has the id %d, as %q", s, id, seen[id])
		}
		seen[id] = s
	}
	if _, ok := node.ID("exim"); ok {
		t.Error("an unknown service has an id")
	}
}

// FuzzParseDocument looks for texts that are taken and cannot be written and
// read again, and for panics.
func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(golden(f)))
	f.Add([]byte(`{"schema":1,"schema":1}`))
	f.Add([]byte(strings.Repeat(`[`, 100)))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := node.ParseDocument(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := node.ParseDocument(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if again.Digest() != d.Digest() {
			t.Errorf("%s and %s are not the same", text, written)
		}
	})
}

// TestTunnelPorts: names are resolved for users of a gateway at the port at which
// they may come in, too.
func TestTunnelPorts(t *testing.T) {
	text := strings.Replace(golden(t), `"services": {`, `"services": {
    "dns": {"sections": {}, "net": true, "listeners": [
      {"protocol": "udp", "port": 53, "from": "tunnel"}, {"protocol": "tcp", "port": 53, "from": "tunnel"}]},
    "ca": {"sections": {}, "listeners": [{"protocol": "udp", "port": 53, "from": "public"}]},`, 1)
	d, err := node.ParseDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Gateway() {
		t.Error("it is no gateway")
	}
	text = strings.Replace(text, `"port": 53, "from": "public"`, `"port": 53, "from": "tunnel"`, 1)
	if _, err := node.ParseDocument([]byte(text)); err == nil || !strings.Contains(err.Error(), "already listens on port 53") {
		t.Errorf("two services at one port: %v", err)
	}
}
