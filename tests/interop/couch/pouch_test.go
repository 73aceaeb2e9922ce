// Package couch replicates with npm's pouchdb-server, another implementation of
// CouchDB's protocol.
package couch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// version is that of pouchdb-server.
const version = "4.2.0"

// installed returns the program, which npm puts into the user's cache once.
func installed(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT JUDGED: there is no %s; Debian's packages nodejs and npm have it", program)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("NOT JUDGED: %v", err)
	}
	dir := filepath.Join(cache, "leap-interop", "pouchdb-server-"+version)
	program := filepath.Join(dir, "node_modules", "pouchdb-server", "bin", "pouchdb-server")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "pouchdb-server@"+version)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("NOT JUDGED: npm could not install pouchdb-server: %v\n%s", err, out)
	}
	return program
}

// A server is one of either kind, where the user of url may do everything.
type server struct {
	t   *testing.T
	url string
	hc  *http.Client
}

func newServer(t *testing.T, url string) *server {
	t.Helper()
	s := &server{t, url, &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	t.Cleanup(s.hc.CloseIdleConnections)
	s.await("an answer", func() bool {
		resp, err := s.hc.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// freePort returns a port that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
}

// pouch starts pouchdb-server until the test ends.
func pouch(t *testing.T) *server {
	t.Helper()
	program, port, dir := installed(t), freePort(t), t.TempDir()
	var said bytes.Buffer
	cmd := exec.Command("node", program, "--port", port, "--host", "127.0.0.1", "--dir", dir, "-n")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &said, &said, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended by itself, which is then said.
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pouchdb-server said:\n%s", &said)
		}
	})
	return newServer(t, "http://127.0.0.1:"+port)
}

// ours starts a database node until the test ends.
func ours(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("abc123"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:" + freePort(t)
	s, err := bigcouch.New(bigcouch.Config{
		Listen: listen, Dir: filepath.Join(dir, "db"), Accounts: []bigcouch.ConfigAccount{{Name: "admin", PasswordFile: file, Admin: true}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return newServer(t, "http://admin:abc123@"+listen)
}

func (s *server) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s in a minute", what)
		}
	}
}

// do sends a request and wants success.
func (s *server) do(method, path, body string, headers ...string) []byte {
	s.t.Helper()
	data, status := s.try(method, path, body, headers...)
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	return data
}

func (s *server) try(method, path, body string, headers ...string) ([]byte, int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := s.hc.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return data, resp.StatusCode
}

// get decodes an answer.
func (s *server) get(path string, to any) {
	s.t.Helper()
	data := s.do("GET", path, "")
	if err := json.Unmarshal(data, to); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, data)
	}
}

// rev returns the revision that an answer tells.
func (s *server) rev(answer []byte) string {
	s.t.Helper()
	var v struct{ Rev string }
	if err := json.Unmarshal(answer, &v); err != nil || v.Rev == "" {
		s.t.Fatalf("no rev in %s", answer)
	}
	return v.Rev
}
