package bigcouch_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is a running server and how to reach it.
type node struct {
	t    testing.TB
	url  string
	dir  string
	stop func() error
	hc   *http.Client
}

const password = "correct horse"

// config returns a configuration with an administrator and two accounts.
func config(t testing.TB, dir string) bigcouch.Config {
	t.Helper()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return bigcouch.Config{
		Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db"),
		Accounts: []bigcouch.ConfigAccount{
			{Name: "admin", PasswordFile: file, Admin: true},
			{Name: "webapp", PasswordFile: file, Roles: []string{"users", "tokens"}},
			{Name: "stranger", PasswordFile: file},
		},
	}
}

// start runs a server over dir until the test ends.
func start(t testing.TB, dir string, change ...func(*bigcouch.Config)) *node {
	t.Helper()
	cfg := config(t, dir)
	for _, f := range change {
		f(&cfg)
	}
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.SetSchedule(3, 50*time.Millisecond, 20*time.Millisecond)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	n := &node{t: t, url: "http://" + ln.Addr().String(), dir: dir, hc: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	stopped := false
	n.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		n.hc.CloseIdleConnections()
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	poll(t, func() bool { return s.Check(ctx) == nil })
	return n
}

func poll(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condition not reached in a minute")
		}
	}
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as a user ("" is nobody). Headers are "Name: value".
func (n *node) do(user, method, path, body string, headers ...string) answer {
	n.t.Helper()
	req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if body != "" || method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := n.hc.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, strings.TrimSuffix(string(data), "\n")}
}

// admin sends a request as the administrator and wants a status.
func (n *node) admin(want int, method, path, body string, headers ...string) answer {
	n.t.Helper()
	a := n.do("admin", method, path, body, headers...)
	if a.status != want {
		n.t.Fatalf("%s %s: status %d, want %d; body %s", method, path, a.status, want, a.body)
	}
	return a
}

// rev returns the member rev of an answer.
func (a answer) rev(t testing.TB) string {
	t.Helper()
	var v struct{ Rev string }
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Rev == "" {
		t.Fatalf("no rev in %s", a.body)
	}
	return v.Rev
}

var opaque = regexp.MustCompile(`"(\d+)-[A-Za-z0-9_-]{12,}"`)

// plain replaces sequences by their numbers.
func (a answer) plain() string { return opaque.ReplaceAllString(a.body, `"$1"`) }

// A step is one request of a story and the answer it must have. In the path,
// headers and body {ID} stands for the present revision of document ID of the
// database db. In the answer hashes of revisions are written x, and sequences
// are their numbers.
type step struct {
	user   string // "": the administrator; "nobody": none.
	method string
	path   string
	body   string
	header string
	status int
	want   string
}

var (
	present = regexp.MustCompile(`\{([a-zA-Z0-9_%/]+)\}`)
	hashes  = regexp.MustCompile(`\b(\d+)-[0-9a-f]{32}\b`)
	fresh   = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
)

// tell runs the steps one after the other.
func (n *node) tell(steps []step) {
	n.t.Helper()
	expand := func(s string) string {
		return present.ReplaceAllStringFunc(s, func(m string) string {
			a := n.do("admin", "HEAD", "/db/"+m[1:len(m)-1], "")
			if a.status != http.StatusOK {
				n.t.Fatalf("no revision of %s: %d", m, a.status)
			}
			return strings.Trim(a.header.Get("ETag"), `"`)
		})
	}
	for i, s := range steps {
		var headers []string
		if s.header != "" {
			headers = []string{expand(s.header)}
		}
		user := s.user
		switch user {
		case "":
			user = "admin"
		case "nobody":
			user = ""
		}
		a := n.do(user, s.method, expand(s.path), expand(s.body), headers...)
		got := hashes.ReplaceAllString(a.body, "$1-x")
		got = bookmarks.ReplaceAllString(got, `"bookmark":"b"`)
		got = opaque.ReplaceAllString(fresh.ReplaceAllString(got, "y"), `"$1"`)
		if a.status != s.status || got != s.want {
			n.t.Errorf("step %d: %s %s %s\n got %d %s\nwant %d %s", i, s.method, s.path, s.body, a.status, got, s.status, s.want)
		}
	}
}
