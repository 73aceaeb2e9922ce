package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/appliance/dev"
	"leap.example/services/bigcouch"
	"leap.example/services/daemon"
)

// TestCouchSeal starts a database in the clear, seals it, and lets dev go on
// with it; then with one of an older release, which dev seals by itself.
func TestCouchSeal(t *testing.T) {
	p := newProvider(t)
	check(t, p.Ensure())
	write := func(c bigcouch.Config) string {
		data, err := json.Marshal(map[string]any{"bigcouch": c, "daemon": daemon.Settings{}})
		check(t, err)
		path := filepath.Join(t.TempDir(), "config.json")
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	run := func(args ...string) (status int, out string) {
		var b bytes.Buffer
		status = execute(t.Context(), args, &b, &b)
		return status, b.String()
	}
	withKey := devDatabase(p)
	plain := withKey
	plain.KeyFiles = nil
	plainFile, sealedFile := write(plain), write(withKey)
	clearStore := func() {
		end := background(t, func(ctx context.Context) int {
			return execute(ctx, []string{"run", "bigcouch", "--config", plainFile}, io.Discard, io.Discard)
		})
		until(t, "the database answers", func() error {
			_, err := get(http.DefaultTransport, "http://"+p.Addr(dev.PortCouch)+"/_up")
			return err
		})
		end()
	}
	clearStore()
	if status, out := run("run", "bigcouch", "--config", sealedFile); status != daemon.ExitStay || !strings.Contains(out, "leapd couch seal") {
		t.Errorf("with a key: status %d, %s", status, out)
	}
	if status, out := run("couch", "seal", "--config", sealedFile); status != 0 || !strings.HasSuffix(out, " files sealed\n") || strings.HasPrefix(out, "0") {
		t.Errorf("couch seal: status %d, %s", status, out)
	}
	if status, out := run("couch", "keys", "--config", sealedFile); status != 0 || !strings.Contains(out, "  current  ") || strings.Count(out, "\n") != 1 {
		t.Errorf("couch keys: status %d, %s", status, out)
	}
	if status, out := run("run", "bigcouch", "--config", plainFile); status != daemon.ExitStay || !strings.Contains(out, "key_files") {
		t.Errorf("without the key: status %d, %s", status, out)
	}
	if status, out := run("couch", "seal", "--config", plainFile); status != daemon.ExitStay || !strings.Contains(out, "no key file is named") {
		t.Errorf("couch seal without a key: status %d, %s", status, out)
	}
	runDev(t, p)()

	check(t, os.RemoveAll(withKey.Dir))
	clearStore()
	runDev(t, p)()
	if status, out := run("couch", "keys", "--config", sealedFile); status != 0 || !strings.Contains(out, "  current  ") {
		t.Errorf("after dev: status %d, %s", status, out)
	}
	if status, out := run("couch"); status != 0 || !strings.Contains(fmt.Sprint(out), "seal") {
		t.Errorf("couch: status %d, %s", status, out)
	}
}
