package peer_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the ports of some nodes.
type world struct {
	t     *testing.T
	ca    *peertest.Authority
	addrs map[string]string
	lns   map[string]net.Listener
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, ca: peertest.New(t), addrs: map[string]string{}, lns: map[string]net.Listener{}}
	for _, n := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.addrs[n], w.lns[n] = ln.Addr().String(), ln
	}
	return w
}

func (w *world) port(name string, cert tls.Certificate) *peer.Port {
	w.t.Helper()
	p, err := peer.New(name, w.addrs, cert, w.ca.Pool, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// serve serves a port until the test ends.
func (w *world) serve(name string, p *peer.Port, h http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Serve(ctx, w.lns[name], h) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
}

func never() uint64 { return 0 }

// A stream reaches the store that it is meant for, of the same history, and no
// other.
func TestStreams(t *testing.T) {
	w := newWorld(t, "a", "b")
	a, b := w.port("a", w.ca.Cert(t, "a")), w.port("b", w.ca.Cert(t, "b"))
	w.serve("b", b, http.NotFoundHandler())
	history := func(n uint64) func() uint64 { return func() uint64 { return n } }
	here := b.Streams(3, "b@1", history(7))
	defer here.Close()
	for _, tt := range []struct {
		name    string
		shard   uint16
		history uint64
		target  raft.ServerAddress
		ok      bool
	}{
		{"the same history", 3, 7, "b@1", true},
		{"a store that has none", 3, 0, "b@1", true},
		{"another history", 3, 8, "b@1", false},
		{"the store before it was wiped", 3, 7, "b@0", false},
		{"another shard", 4, 7, "b@1", false},
	} {
		from := a.Streams(tt.shard, "a@1", history(tt.history))
		c, err := from.Dial(tt.target, 5*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if _, err := c.Write([]byte("hello")); err != nil && tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.ok {
			got, err := here.Accept()
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 5)
			if _, err := io.ReadFull(got, buf); err != nil || string(buf) != "hello" {
				t.Errorf("%s: %q, %v", tt.name, buf, err)
			}
			got.Close()
		} else {
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: %d bytes came back", tt.name, n)
			}
		}
		c.Close()
		from.Close()
	}
}

// Only nodes of the list, with certificates of the authority, are let in.
func TestStrangers(t *testing.T) {
	w := newWorld(t, "a", "b")
	b := w.port("b", w.ca.Cert(t, "b"))
	names := make(chan string, 8)
	w.serve("b", b, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name, err := b.NodeOf(r)
		if err != nil {
			name = err.Error()
		}
		names <- name
	}))
	get := func(p *peer.Port) error {
		hc := &http.Client{Transport: p.Transport(), Timeout: 10 * time.Second}
		defer hc.CloseIdleConnections()
		resp, err := hc.Get("https://b/")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(w.port("a", w.ca.Cert(t, "a"))); err != nil {
		t.Fatal(err)
	}
	if got := <-names; got != "a" {
		t.Errorf("a is seen as %q", got)
	}
	if err := get(w.port("a", w.ca.Cert(t, "mallory"))); err == nil {
		t.Error("a name that is not in the list was let in")
	}
	if err := get(w.port("a", peertest.New(t).Cert(t, "a"))); err == nil {
		t.Error("a certificate of another authority was let in")
	}
	if len(names) > 0 {
		t.Errorf("a stranger reached the handler as %q", <-names)
	}
	// A server that has another name's certificate is not believed either.
	impostor := w.port("a", w.ca.Cert(t, "b"))
	w.serve("a", impostor, http.NotFoundHandler())
	hc := &http.Client{Transport: b.Transport(), Timeout: 10 * time.Second}
	if resp, err := hc.Get("https://a/"); err == nil {
		resp.Body.Close()
		t.Error("b took an impostor for a")
	}
	if _, err := b.Streams(1, "b@1", never).Dial("nobody@1", time.Second); err == nil {
		t.Error("a node that is not in the list was dialled")
	}
}

// Who falls silent in the middle of a command is cut, who says nothing between
// two is not, and all streams are cut when the group ends.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	a, b := w.port("a", w.ca.Cert(t, "a")), w.port("b", w.ca.Cert(t, "b"))
	w.serve("b", b, http.NotFoundHandler())
	here, from := b.Streams(3, "b@1", never), a.Streams(3, "a@1", never)
	pair := func() (near, far net.Conn) {
		near, err := from.Dial("b@1", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if far, err = here.Accept(); err != nil {
			t.Fatal(err)
		}
		return near, far
	}
	say := func(to, at net.Conn) {
		t.Helper()
		if _, err := to.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(at, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	idle, idleFar := pair()
	say(idle, idleFar)
	say(idleFar, idle)
	went := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(idleFar, make([]byte, 1))
		went <- err
	}()
	within, withinFar := pair()
	say(within, withinFar)
	if _, err := withinFar.Read(make([]byte, 1)); err == nil {
		t.Error("more was read than said")
	}
	if _, err := idle.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-went; err != nil {
		t.Errorf("an idle stream: %v", err)
	}
	here.Close()
	from.Close()
	for name, c := range map[string]net.Conn{"idle": idle, "its other end": idleFar, "within": within, "the other end of that": withinFar} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s lives on", name)
		}
	}
	if c, err := from.Dial("b@1", 5*time.Second); err == nil {
		c.Close()
		t.Error("a stream of a group that has ended")
	}
}

// A port has ended when the requests that came in have: what they work on is
// closed then.
func TestEndsAfterRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	b := w.port("b", w.ca.Cert(t, "b"))
	begun, cut, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- b.Serve(ctx, w.lns["b"], http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			close(cut)
			<-goOn
		}))
	}()
	hc := &http.Client{Transport: w.port("a", w.ca.Cert(t, "a")).Transport(), Timeout: 30 * time.Second}
	asked := make(chan error, 1)
	go func() {
		resp, err := hc.Get("https://b/")
		if err == nil {
			resp.Body.Close()
		}
		asked <- err
	}()
	<-begun
	cancel()
	<-cut
	<-asked
	select {
	case err := <-ended:
		t.Errorf("it has ended before its request, %v", err)
	case <-time.After(50 * time.Millisecond): // Nothing says that it waits.
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
