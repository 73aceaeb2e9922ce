// Package node starts database nodes for tests to judge. What judges takes a
// [Starter], so that one node and a cluster are judged by the same tests.
package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/couch"
)

// Password is that of all accounts.
const Password = "abc123"

// A Database is a database to judge: one node or several, whose accounts are
// those of the provider's services; "admin" is a server administrator.
type Database struct {
	URLs         []string // Of the nodes, "http://host:port".
	PasswordFile string
}

// URL returns the first node, with the administrator's name and password.
func (d Database) URL() string {
	return "http://admin:" + Password + "@" + d.URLs[0][len("http://"):]
}

// A Starter starts an empty database until the test ends.
type Starter func(t testing.TB) Database

// Single starts one node in this process.
func Single(t testing.TB) Database {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := bigcouch.Config{Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db")}
	for name, roles := range couch.Accounts() {
		cfg.Accounts = append(cfg.Accounts, bigcouch.ConfigAccount{
			Name: name, PasswordFile: file, Roles: roles, Admin: name == "admin" || name == "tapicero",
		})
	}
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	d := Database{URLs: []string{"http://" + ln.Addr().String()}, PasswordFile: file}
	d.wait(t)
	return d
}

// wait waits until every node is up.
func (d Database) wait(t testing.TB) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	end := time.Now().Add(time.Minute)
	for _, url := range d.URLs {
		for {
			resp, err := hc.Get(url + "/_up")
			if err == nil {
				err = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					err = errors.Join(err, errors.New(resp.Status))
				}
			}
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("a node is not up: %v", err)
			}
			time.Sleep(5 * time.Millisecond) // Between polls only.
		}
	}
}
