package couch_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch"
	"leap.example/services/couch"
	"leap.example/services/couch/couchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is a database server of our own, which can be stopped and started
// again on its port.
type node struct {
	t      testing.TB
	dir    string
	file   string // Of the password of all accounts.
	addr   string
	cancel context.CancelFunc
	ended  chan error
}

// newNode starts a node until the test ends.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	n.file = filepath.Join(n.dir, "password")
	if err := os.WriteFile(n.file, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	cfg := bigcouch.Config{Listen: n.addr, Dir: filepath.Join(n.dir, "db")}
	for name, roles := range couch.Accounts() {
		cfg.Accounts = append(cfg.Accounts, bigcouch.ConfigAccount{
			Name: name, PasswordFile: n.file, Roles: roles, Admin: name == "admin" || name == "tapicero",
		})
	}
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		n.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.addr = ln.Addr().String()
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.ended = make(chan error, 1)
	go func() { n.ended <- s.Serve(ctx, ln) }()
}

// stop stops the node, if it runs.
func (n *node) stop() {
	n.t.Helper()
	if n.cancel == nil {
		return
	}
	n.cancel()
	if err := <-n.ended; err != nil {
		n.t.Errorf("the node ended with %v", err)
	}
	n.cancel = nil
}

func (n *node) url() string { return "http://" + n.addr }

func (n *node) server() couchtest.Server {
	return couchtest.Server{URLs: []string{n.url()}, PasswordFile: n.file}
}

// setup starts a node with the provider's databases.
func setup(t testing.TB) (*node, couchtest.Server) {
	t.Helper()
	n := newNode(t)
	s := n.server()
	if err := s.DB(t, "admin").Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n, s
}
