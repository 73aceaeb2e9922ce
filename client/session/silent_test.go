package session_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// A cable leads to a server, and can be pulled: what is sent over connections
// that were there is lost, and nobody is told. New ones reach the server.
type cable struct {
	ln    net.Listener
	to    string
	plugs atomic.Int32 // Connections so far.
	work  sync.WaitGroup

	mu    sync.Mutex // Guards what follows.
	lost  *atomic.Bool
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{ln: ln, to: to, lost: new(atomic.Bool)}
	c.work.Go(c.accept)
	t.Cleanup(func() {
		ln.Close()
		c.mu.Lock()
		for _, one := range c.conns {
			one.Close()
		}
		c.mu.Unlock()
		c.work.Wait()
	})
	return c
}

func (c *cable) accept() {
	for {
		near, err := c.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.plugs.Add(1)
		c.mu.Lock()
		lost := c.lost
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		c.work.Go(func() { carry(far, near, lost) })
		c.work.Go(func() { carry(near, far, lost) })
	}
}

func carry(to, from net.Conn, lost *atomic.Bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if lost.Load() && err == nil {
			continue
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

// pull loses all connections.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost.Store(true)
	c.lost = new(atomic.Bool)
}

// TestSilentServer: a server that has lost its power answers no request that is
// on the way, and holds up none after it.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	_, port, err := net.SplitHostPort(f.api)
	if err != nil {
		t.Fatal(err)
	}
	wire := newCable(t, "127.0.0.1:"+port)
	_, port, err = net.SplitHostPort(wire.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f.doc.APIURI = "https://api." + domain + ":" + port
	var version atomic.Int32 // Of HTTP.
	f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		version.Store(int32(r.ProtoMajor))
		return false
	}
	p := f.bootstrap(t, f.options())
	session.Hasten(t, p, time.Second)
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := p.Refresh(ctx, 0)
		if ctx.Err() != nil {
			t.Fatalf("it waited until it was told to stop: %v", err)
		}
		return err
	}
	for range 2 {
		if err := ask(); err != nil || version.Load() != 2 || wire.plugs.Load() != 1 {
			t.Fatalf("over HTTP/%d, by %d connections: %v; want HTTP/2 and one", version.Load(), wire.plugs.Load(), err)
		}
	}
	wire.pull()
	if err := ask(); !errors.Is(err, problem.Unavailable) {
		t.Errorf("with the cable pulled: %v", err)
	}
	if err := ask(); err != nil || wire.plugs.Load() != 2 {
		t.Errorf("afterwards, by %d connections: %v; want one more", wire.plugs.Load(), err)
	}
}
