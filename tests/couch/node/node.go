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
	"leap.example/services/bigcouch/peertest"
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
	d := Database{PasswordFile: password(t, dir)}
	d.URLs = []string{d.start(t, bigcouch.Config{Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db")})}
	d.wait(t)
	return d
}

// Three starts three nodes in this process, each with a copy of everything.
func Three(t testing.TB) Database {
	t.Helper()
	names := []string{"a", "b", "c"}
	authority := peertest.New(t)
	var nodes []bigcouch.ConfigNode
	for _, name := range names {
		ln := listen(t, "127.0.0.1:0")
		nodes = append(nodes, bigcouch.ConfigNode{Name: name, Peer: ln.Addr().String()})
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	d := Database{PasswordFile: password(t, dir)}
	for i, name := range names {
		dir := t.TempDir()
		cert, key, ca := authority.Files(t, dir, name)
		d.URLs = append(d.URLs, d.start(t, bigcouch.Config{
			Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db"),
			Cluster: &bigcouch.ConfigCluster{
				Node: name, Listen: nodes[i].Peer, CertFile: cert, KeyFile: key, CAFile: ca,
				Nodes: nodes, Placement: bigcouch.ConfigPlacement(nodes, 8, len(nodes)),
			},
		}))
	}
	d.wait(t)
	return d
}

func password(t testing.TB, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// start starts a node until the test ends, and returns its URL.
func (d Database) start(t testing.TB, cfg bigcouch.Config) string {
	t.Helper()
	for name, roles := range couch.Accounts() {
		cfg.Accounts = append(cfg.Accounts, bigcouch.ConfigAccount{
			Name: name, PasswordFile: d.PasswordFile, Roles: roles, Admin: name == "admin" || name == "tapicero",
		})
	}
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln := listen(t, cfg.Listen)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// wait waits until every node says that it is up.
func (d Database) wait(t testing.TB) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	end := time.Now().Add(time.Minute)
	for _, url := range d.URLs {
		for {
			err := up(hc, url)
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

func up(hc *http.Client, url string) error {
	resp, err := hc.Get(url + "/_up")
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
