package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/daemon"
)

// TestCompiled builds every service of every node of the provider instances that
// the compiler's golden files are made of: what "leap compile" writes, leapd
// takes.
func TestCompiled(t *testing.T) {
	built := map[string]bool{}
	for name, secrets := range map[string]string{"demo": "secrets.json", "vpn": "vpn-secrets.json"} {
		buildInstance(t, name, secrets, built)
	}
	for name := range services() {
		if !built[name] {
			t.Errorf("no node of the golden instances runs %s", name)
		}
	}
}

// buildInstance builds one of them, and takes note of its services.
func buildInstance(t *testing.T, instance, secretsFile string, built map[string]bool) {
	t.Helper()
	const testdata = "../../../image/compile/testdata"
	i, err := provider.Open(filepath.Join(testdata, instance))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(testdata, secretsFile))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{}
	for name, value := range all {
		secrets[name] = []byte(value)
	}
	out, err := compile.Compile(i, secrets)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range out.Documents {
		for service, s := range doc.Services {
			built[service] = true
			// A node's paths are below the root; here they are below a directory.
			root := t.TempDir()
			put := func(path string, value []byte) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, value, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for file, value := range s.Files {
				put(node.FilePath(service, file), []byte(value))
			}
			for file, secret := range s.Secrets {
				put(node.SecretPath(service, file), secrets[secret])
			}
			config, err := json.Marshal(s.Sections)
			if err != nil {
				t.Fatal(err)
			}
			moved := strings.NewReplacer(`"/run/`, `"`+root+`/run/`, `"/perm/`, `"`+root+`/perm/`).Replace(string(config))
			c, err := daemon.ParseConfig([]byte(moved))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := daemon.Build(c, services()[service], slog.New(slog.DiscardHandler)); err != nil {
				t.Errorf("%s: %s: %v", name, service, err)
			}
		}
	}
}
