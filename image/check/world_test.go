package check_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/node"
	"leap.example/image/check"
	"leap.example/image/compile"
	"leap.example/image/deploy"
	"leap.example/image/deploy/deploytest"
	"leap.example/image/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is one node whose ports are served by functions, without a network of its own.
type world struct {
	t        *testing.T
	i        *provider.Instance
	secrets  map[string][]byte
	member   func(env string) (tls.Certificate, error)
	document node.Document
	agent    *deploytest.Agent
	client   *deploy.Client
	now      time.Time

	mu    sync.Mutex
	ports map[uint16]func(net.Conn) // What is not here refuses.
	wg    sync.WaitGroup
}

// newWorld makes a provider of one node with the database and more services, each
// after a comma, deployed and good.
func newWorld(t *testing.T, services string) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), ports: map[uint16]func(net.Conn){}}
	dir, keys := filepath.Join(t.TempDir(), "demo"), filepath.Join(t.TempDir(), "keys.json")
	ok(t, provider.New(dir, provider.Answers{Domain: "demo.example", Name: "Demo", Contact: "root@demo.example", Enrollment: "invite", Operator: "alice"}, keys, w.now))
	op, err := provider.ReadOperator(keys)
	ok(t, err)
	open := func() *provider.Vault {
		w.i, err = provider.Open(dir)
		ok(t, err)
		v, err := w.i.Unlock(op)
		ok(t, err)
		return v
	}
	w.i, err = func() (*provider.Instance, error) {
		v := open()
		return w.i.AddNode(v, "web1", []string{"services:couchdb" + services, "ip_address:192.0.2.11"}, w.now)
	}()
	ok(t, err)
	v := open()
	w.member = func(env string) (tls.Certificate, error) { return w.i.Member(v, env, w.now) }
	_, err = v.Make(compile.Needs(w.i), w.now)
	ok(t, err)
	w.secrets, err = v.All()
	ok(t, err)
	out, err := compile.Compile(w.i, w.secrets)
	ok(t, err)
	w.i.Zones, w.document = out.Serials, out.Documents["web1"]

	id, err := compile.Identity(w.i, w.i.Node("web1"), w.secrets)
	ok(t, err)
	w.agent = &deploytest.Agent{Identity: id}
	ok(t, w.agent.Start("127.0.0.1:0"))
	t.Cleanup(func() { ok(t, w.agent.Close()) })
	access := deploy.Access{Roots: x509.NewCertPool()}
	access.Roots.AppendCertsFromPEM(w.i.Files["ca/node_ca.crt"])
	access.Certificate, err = w.i.Certificate(op)
	ok(t, err)
	w.client = access.NewClient(w.agent.Address(), w.i.AgentName(w.i.Node("web1")))
	if r := w.push(w.document); !r.OK() {
		t.Fatalf("%+v", r)
	}
	t.Cleanup(w.wg.Wait)
	return w
}

// push deploys a document.
func (w *world) push(d node.Document) deploy.Result {
	w.t.Helper()
	signer, err := compile.Signer(w.secrets)
	ok(w.t, err)
	return deploy.Push(w.t.Context(), []deploy.Target{{Client: w.client, Document: d}}, deploy.Options{Signer: signer, Secrets: w.secrets, Told: func(string, node.Event) {}})[0]
}

// dial connects to a port of the node.
func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || at.Addr().String() != "192.0.2.11" {
		return nil, fmt.Errorf("%s is nowhere: %w", address, err)
	}
	w.mu.Lock()
	serve := w.ports[at.Port()]
	w.mu.Unlock()
	if serve == nil {
		return nil, fmt.Errorf("port %d: connection refused", at.Port())
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // Not a pipe: that has no buffers, and TLS talks at cross purposes.
	if err != nil {
		return nil, err
	}
	defer func() { _ = ln.Close() }() // Nobody else comes.
	ours, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	theirs, err := ln.Accept()
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	w.wg.Go(func() {
		serve(theirs)
		_ = theirs.Close() // Once more does no harm.
	})
	return ours, nil
}

// run returns what is found, by the names of checks.
func (w *world) run(account func(context.Context, *provider.Node) (string, error)) map[string]check.Result {
	w.t.Helper()
	found := map[string]check.Result{}
	t := check.Target{Node: w.i.Node("web1"), Document: &w.document, Client: w.client, Dial: w.dial}
	for _, r := range check.Run(w.t.Context(), []check.Target{t}, check.Options{Instance: w.i, Now: w.now, Account: account, Member: w.member}) {
		if r.Node != "web1" || r.State != node.CheckOK && (r.Next == "" || r.Text == "") {
			w.t.Errorf("a finding without a node, a text or a next step: %+v", r)
		}
		found[r.Check] = r
	}
	return found
}

// want compares findings: "ok", or a part of the text of one that fails.
func (w *world) want(found map[string]check.Result, want map[string]string) {
	w.t.Helper()
	for name, text := range want {
		r, there := found[name]
		state := node.CheckFail
		if text == "ok" {
			state, text = node.CheckOK, ""
		} else if warning, is := strings.CutPrefix(text, "warn "); is {
			state, text = node.CheckWarn, warning
		}
		if !there || r.State != state || !strings.Contains(r.Text, text) {
			w.t.Errorf("%s: %+v, want %s %s", name, r, state, text)
		}
	}
}

// certificate is what the node's services prove themselves with.
func (w *world) certificate() tls.Certificate {
	w.t.Helper()
	pair, err := tls.X509KeyPair(w.i.Files[provider.NodeFile("web1", "server.crt")], w.secrets[provider.NodeSecret("web1", "server.key")])
	ok(w.t, err)
	return pair
}

// https serves a handler on one connection.
func (w *world) https(pair tls.Certificate, h http.Handler) func(net.Conn) {
	return func(conn net.Conn) {
		w.over(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}), h)
	}
}

// over serves a handler on one connection of TLS.
func (w *world) over(over *tls.Conn, h http.Handler) {
	if over.Handshake() != nil {
		return // One of the two does not like the other, or has seen enough.
	}
	ln := &single{conn: over, closed: make(chan struct{})}
	hs := &http.Server{Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			_ = ln.Close() // It never fails.
		}
	}}
	_ = hs.Serve(ln) // It ends with its connection.
}

// A single is a listener with one connection.
type single struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
}

func (s *single) Accept() (conn net.Conn, err error) {
	if conn, s.conn = s.conn, nil; conn != nil {
		return conn, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

// script is a mail server that answers each line that begins with a word with an
// answer, and goes over to TLS.
func (w *world) script(banner string, answers map[string]string) func(net.Conn) {
	pair := w.certificate()
	return func(conn net.Conn) {
		say := func(conn net.Conn, text string) { _, _ = fmt.Fprintf(conn, "%s\r\n", text) } // The client has gone.
		say(conn, banner)
		for in := newLines(conn); ; {
			line, err := in.next()
			word, _, _ := strings.Cut(line, " ")
			answer, known := answers[line]
			if !known {
				answer, known = answers[word]
			}
			switch {
			case err != nil:
				return
			case word == "EHLO":
				say(conn, "250-web1.demo.example")
				say(conn, "250 STARTTLS")
			case word == "STARTTLS":
				say(conn, "220 go on")
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}})
				in = newLines(conn)
			case known:
				say(conn, answer)
			case word == "QUIT":
				say(conn, "221 bye")
				return
			default:
				say(conn, "250 "+strconv.Quote(line))
			}
		}
	}
}
