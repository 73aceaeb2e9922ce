// Package replication replicates with npm's pouchdb-server, another implementation of
// CouchDB's protocol.
package replication

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/tests/couch/foreign"
	"leap.example/tests/couch/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	return s
}

// pouch starts pouchdb-server until the test ends.
func pouch(t *testing.T) *server {
	t.Helper()
	return newServer(t, foreign.Serve(t).URL)
}

// ours starts a database node until the test ends.
func ours(t *testing.T) *server {
	t.Helper()
	return newServer(t, node.Single(t).URL())
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
