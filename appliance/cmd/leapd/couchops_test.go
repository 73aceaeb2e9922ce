package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
	"leap.example/services/daemon"
)

// A database is one node as its operator has it: a configuration, and commands.
type database struct {
	t    *testing.T
	cfg  bigcouch.Config
	file string
}

func newDatabase(t *testing.T) *database {
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, ln.Close())
	d := &database{t: t, file: filepath.Join(dir, "config.json"), cfg: bigcouch.Config{
		Listen: ln.Addr().String(), Dir: filepath.Join(dir, "db"), KeyFiles: []string{filepath.Join(dir, "node.key")},
		Accounts: []bigcouch.ConfigAccount{{Name: "root", PasswordFile: filepath.Join(dir, "password"), Admin: true}},
	}}
	check(t, os.WriteFile(filepath.Join(dir, "password"), []byte("correct horse\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "node.key"), []byte(strings.Repeat("ab", 32)), 0o600))
	data, err := json.Marshal(map[string]any{"bigcouch": d.cfg, "daemon": daemon.Settings{}})
	check(t, err)
	check(t, os.WriteFile(d.file, data, 0o600))
	return d
}

// start runs the node until end is called.
func (d *database) start() (end func() int) {
	d.t.Helper()
	end = background(d.t, func(ctx context.Context) int {
		return execute(ctx, []string{"run", "bigcouch", "--config", d.file}, io.Discard, io.Discard)
	})
	until(d.t, "the database answers", func() error {
		_, err := get(http.DefaultTransport, "http://"+d.cfg.Listen+"/_up")
		return err
	})
	return end
}

// request sends one as the administrator.
func (d *database) request(method, path, body string) {
	d.t.Helper()
	req, err := http.NewRequest(method, "http://"+d.cfg.Listen+path, strings.NewReader(body))
	check(d.t, err)
	req.SetBasicAuth("root", "correct horse")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	check(d.t, err)
	answer, err := io.ReadAll(resp.Body)
	check(d.t, err)
	check(d.t, resp.Body.Close())
	if resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
}

// couch runs "leapd couch" with the node's configuration, wants a status, and
// returns what it has printed.
func (d *database) couch(status int, args ...string) string {
	d.t.Helper()
	var b bytes.Buffer
	if got := execute(d.t.Context(), append([]string{"couch"}, args...), &b, &b); got != status {
		d.t.Fatalf("couch %v: status %d, want %d: %s", args, got, status, b.String())
	}
	if strings.Contains(b.String(), "correct horse") {
		d.t.Errorf("couch %v prints the password", args)
	}
	return b.String()
}

func wants(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in:\n%s", part, got)
		}
	}
}

// What an operator types, from the first backup to a restored node.
func TestCouchOperations(t *testing.T) {
	d := newDatabase(t)
	end := d.start()
	d.request("PUT", "/db", "")
	for i := range 5 {
		d.request("PUT", fmt.Sprintf("/db/doc%d", i), `{"n":1}`)
	}
	place, key := filepath.Join(t.TempDir(), "backups"), filepath.Join(t.TempDir(), "operator.key")
	wants(t, d.couch(0, "backup-key", key), key+".pub")
	d.couch(125, "backup-key", key)
	wants(t, d.couch(0, "status", "--config", d.file), "1 databases", "key ", "current", "alone")
	wants(t, d.couch(0, "digest", "--config", d.file), "shard  index  copies  digest")
	wants(t, d.couch(0, "backup", "--config", d.file, "--to", place, "--recipients-file", key+".pub"), ".backup: ")
	wants(t, d.couch(125, "backup", "--config", d.file, "--to", place), "name one with --recipient")
	wants(t, d.couch(125, "backup", "--config", d.file, "--to", "s3://bucket/x", "--recipients-file", key+".pub"), "credentials")
	wants(t, d.couch(125, "status", "--url", "http://user:secret@127.0.0.1:1", "--password-file", "x"), "without a password")
	wants(t, d.couch(1, "status", "--url", "http://127.0.0.1:1", "--password-file", d.cfg.Accounts[0].PasswordFile), "does not answer")
	wrong := filepath.Join(t.TempDir(), "wrong")
	check(t, os.WriteFile(wrong, []byte("wrong"), 0o600))
	wants(t, d.couch(125, "digest", "--url", "http://"+d.cfg.Listen, "--user", "root", "--password-file", wrong), "does not take this account or password")
	var list []asked
	check(t, json.Unmarshal([]byte(d.couch(0, "status", "--json", "--config", d.file)), &list))
	if len(list) != 1 || list[0].Overview.Databases != 1 || len(list[0].Overview.Shards) != 9 || list[0].Overview.Keys[0].Files == 0 {
		t.Errorf("status: %+v", list)
	}

	name := strings.TrimSpace(d.couch(0, "checkpoint", "--config", d.file))
	wants(t, d.couch(0, "verify", "--config", d.file, "--dir", filepath.Join(d.cfg.Dir, name)), "1 databases, 5 documents")
	wants(t, d.couch(0, "checkpoint", "--config", d.file, "--list"), name)
	d.couch(0, "checkpoint", "--config", d.file, "--remove", name)
	wants(t, d.couch(125, "checkpoint", "--config", d.file, "--remove", name), "no such checkpoint")
	wants(t, d.couch(125, "verify", "--config", d.file), "must be stopped")
	wants(t, d.couch(125, "recover", "--config", d.file), "must be stopped")
	end()
	wants(t, d.couch(0, "verify", "--config", d.file), "1 databases, 5 documents")
	wants(t, d.couch(0, "recover", "--config", d.file), "nothing was changed", "this node by itself")
	wants(t, d.couch(125, "recover", "--config", d.file, "--release"), "by itself has promised nothing")
	wants(t, d.couch(0, "recover", "--config", d.file, "--yes"), "before-recover", "next: ")
	wants(t, d.couch(125, "restore", "--config", d.file, "--from", place, "--identity", key), "move the directory away")

	r := newDatabase(t)
	wants(t, r.couch(125, "restore", "--config", r.file, "--from", place, "--identity", key+".pub"), "identity")
	wants(t, r.couch(125, "restore", "--config", r.file, "--from", t.TempDir(), "--identity", key), "no such backup")
	wants(t, r.couch(0, "restore", "--config", r.file, "--from", place, "--identity", key), "1 databases, 5 documents", "next: start this node")
	end = r.start()
	r.request("GET", "/db/doc4", "")
	r.request("PUT", "/db/doc5", "{}")
	wants(t, r.couch(0, "backup", "--config", r.file, "--to", place, "--recipients-file", key+".pub", "--keep", "1", "--json"), `"bytes": `, `"removed": [`)
	end()
}
