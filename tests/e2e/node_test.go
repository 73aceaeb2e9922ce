package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/appliance/dev"
	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/bigcouchtest"
	"leap.example/services/couch"
	"leap.example/services/mx"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
	"leap.example/tests/e2e/process"
)

// A node is the way of the mail through a provider, in this process: MX and
// relay over a database whose disk can lose power.
//
//	outside ──▶ mx ──▶ database ◀── relay ◀── user
//	            ▲                     │ │
//	            └─────────────────────┘ └──▶ world
type node struct {
	t       *testing.T
	files   dev.Provider
	disk    *bigcouchtest.Disk
	world   *world
	log     *slog.Logger // Of the services.
	couchAt string       // host:port; of the first start.

	db         *couch.DB // The administrator's.
	raw        *process.Database
	mx, submit string // Addresses.
	stopDB     func()
	parts      []func() // That stop or close what runs, in the reverse order.
}

// newNode makes the files of a provider. Its disk is empty, and it does not run.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, disk: bigcouchtest.NewDisk(), world: newWorld(t), log: quiet, couchAt: "127.0.0.1:0"}
	n.files = dev.Provider{Dir: filepath.Join(t.TempDir(), "dev"), Domain: "demo.example", Base: 20000} // Nothing listens there.
	if err := n.files.Ensure(); err != nil {
		t.Fatal(err)
	}
	return n
}

// serve runs f until the returned function is called, which waits for its end.
func serve(t *testing.T, what string, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	})
}

// listen listens on an address that may have been used before.
func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var ln net.Listener
	until(t, "listening", 10*time.Second, func() (err error) {
		ln, err = net.Listen("tcp", addr)
		return err
	})
	return ln
}

// startDB starts the database, at the same address each time.
func (n *node) startDB() {
	n.t.Helper()
	cfg := bigcouch.Config{Listen: n.couchAt, Dir: "db", KeyFiles: []string{n.files.Path("bigcouch", "store.key")}}
	for _, a := range dev.Accounts {
		cfg.Accounts = append(cfg.Accounts, bigcouch.ConfigAccount{
			Name: a.Name, PasswordFile: n.files.Path("passwords", a.Name), Roles: a.Roles, Admin: a.Admin,
		})
	}
	s, err := n.disk.Server(cfg, n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	ln := listen(n.t, n.couchAt)
	n.couchAt = ln.Addr().String()
	n.stopDB = serve(n.t, "database", func(ctx context.Context) error { return s.Serve(ctx, ln) })
}

// start starts the database and the MX. The caller calls close.
func (n *node) start() {
	n.t.Helper()
	n.parts = nil
	n.startDB()
	n.parts = append(n.parts, func() { n.stopDB() })
	n.raw = process.OpenDatabase(n.t, "http://"+n.couchAt, n.files.Path("passwords", "admin"))
	n.db = n.open("admin")
	if err := n.db.Setup(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.startMX(n.open("leap_mx"))
}

// open opens the database with the rights of an account, until close.
func (n *node) open(account string) *couch.DB {
	n.t.Helper()
	db := openCouch(n.t, "http://"+n.couchAt, account, n.files.Path("passwords", account), n.log)
	n.parts = append(n.parts, func() {
		if err := db.Close(); err != nil {
			n.t.Errorf("closing the database: %v", err)
		}
	})
	return db
}

// close stops all that runs.
func (n *node) close() {
	for _, stop := range slices.Backward(n.parts) {
		stop()
	}
}

// A queue is the incoming queues of all users, as mx sees them.
type queue struct{ dbs *couch.UserDBs }

func (q queue) AddIncoming(ctx context.Context, userID string, in record.Incoming) error {
	return q.dbs.Open(userID).AddIncoming(ctx, in)
}

func (n *node) startMX(db *couch.DB) {
	n.t.Helper()
	s, err := mx.New(mx.Config{
		Listen: "127.0.0.1:0", Hostname: "mx." + n.files.Domain, Domains: []string{n.files.Domain},
		CertFile: n.files.Path("certs", "server.crt"), KeyFile: n.files.Path("certs", "server.key"),
		SigningKeyFile: n.files.Path("mx", "signing.key"), QueueSecretFile: n.files.Path("mx", "queue.secret"),
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, db.Identities(), queue{db.UserDBs()}, n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	ln := listen(n.t, "127.0.0.1:0")
	n.mx = ln.Addr().String()
	n.parts = append(n.parts, serve(n.t, "mx", func(ctx context.Context) error { return s.Serve(ctx, ln) }))
}

// startRelay starts the relay beside the rest.
func (n *node) startRelay() {
	n.t.Helper()
	db := n.open("relay")
	s, err := relay.New(relay.Config{
		ListenTLS: "127.0.0.1:0", Hostname: "smtp." + n.files.Domain, Domains: []string{n.files.Domain},
		CertFile: n.files.Path("certs", "server.crt"), KeyFile: n.files.Path("certs", "server.key"),
		QueueKeyFile: n.files.Path("relay", "queue.key"),
		MX:           relay.ConfigHop{Address: n.mx, Name: "mx." + n.files.Domain, CAFile: n.files.Path("ca", "ca.crt")},
		Smarthost:    relay.ConfigHop{Address: n.world.addr},
		Retry:        []string{"100ms"}, Poll: "50ms", MessagesPerMinute: 60_000, Burst: 1000,
	}, db.Identities(), db.Tokens(), db.Outbound(), n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	ln := listen(n.t, "127.0.0.1:0")
	n.submit = ln.Addr().String()
	n.parts = append(n.parts, serve(n.t, "relay", func(ctx context.Context) error { return s.Serve(ctx, ln, nil) }))
}

// A world is a mail server outside. It refuses some of the mail for now, and
// while it is shut all of it.
type world struct {
	addr string

	mu    sync.Mutex // Guards what follows.
	shut  bool
	tries int
	got   map[string]int // Letters.
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ln := listen(t, "127.0.0.1:0")
	w := &world{addr: ln.Addr().String(), got: map[string]int{}}
	s := smtp.NewServer(w)
	s.ErrorLog = noLog{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ln) // Until Close.
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return w
}

type noLog struct{}

func (noLog) Printf(string, ...any) {}
func (noLog) Println(...any)        {}

// NewSession implements smtp.Backend.
func (w *world) NewSession(*smtp.Conn) (smtp.Session, error) { return visit{w}, nil }

// A visit is one connection to a world.
type visit struct{ w *world }

func (visit) Reset()                               {}
func (visit) Logout() error                        { return nil }
func (visit) Mail(string, *smtp.MailOptions) error { return nil }
func (visit) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (v visit) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, msg.Body); err != nil {
		return err
	}
	id, _, _ := strings.Cut(strings.Trim(msg.Header.Get("Message-ID"), "<>"), "@")
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if v.w.tries++; v.w.shut || v.w.tries%3 == 0 {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Not now"}
	}
	v.w.got[id]++
	return nil
}

// has returns how often a letter came.
func (w *world) has(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got[id]
}

func (w *world) set(shut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = shut
}

// mailbox makes the user of a node that runs.
func (n *node) mailbox(login string) *mailbox {
	n.t.Helper()
	return newMailbox(n.t, n.db, fmt.Sprintf("%s@%s", login, n.files.Domain), n.files.Path("mx", "signing.pub"))
}

// login is how m logs in at the relay.
func (n *node) login(m *mailbox) *login {
	n.t.Helper()
	c := process.TLS(n.t, n.files.Path("ca", "ca.crt"))
	c.ServerName = "smtp." + n.files.Domain
	return &login{c, m.address, m.token}
}
