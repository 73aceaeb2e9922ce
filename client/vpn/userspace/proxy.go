package userspace

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"time"
)

const (
	maxClients     = 512              // Connections of the proxy at once.
	requestTimeout = 15 * time.Second // For a program to say where it wants to go.
	dialTimeout    = 60 * time.Second // Of a connection through the tunnel, a change of gateways included.
	idleTimeout    = 2 * time.Hour    // Of a connection on which nothing moves.
	maxHead        = 16 << 10         // Bytes of a request.
)

// accept serves the proxy's clients until the Path is closed.
func (p *Path) accept() {
	slots := make(chan struct{}, maxClients)
	for {
		c, err := p.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // Too many open files, perhaps: wait for some to close.
			p.log.Warn("the proxy cannot take a connection", "err", err)
			select {
			case <-p.ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case slots <- struct{}{}:
			p.wg.Go(func() {
				defer func() { <-slots }()
				p.serve(c)
			})
		default:
			c.Close()
		}
	}
}

// A protocol is what a client of the proxy speaks.
type protocol interface {
	// request reads where the client wants to go: host:port. When it fails the
	// client has had its answer.
	request() (string, error)
	// answer tells the client how it went, nil being well.
	answer(error) error
}

// serve leads one client through the tunnel.
func (p *Path) serve(c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if c.SetDeadline(time.Now().Add(requestTimeout)) != nil {
		return
	}
	limit := &io.LimitedReader{R: c, N: maxHead}
	r := bufio.NewReader(limit)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	var proto protocol = &httpConnect{r, c}
	if first[0] == socksVersion {
		proto = &socks{r, c}
	}
	address, err := proto.request()
	if err != nil {
		return
	}
	limit.N = math.MaxInt64
	dialing, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	if c.SetDeadline(time.Now().Add(dialTimeout+requestTimeout)) != nil {
		return
	}
	far, t, err := p.dial(dialing, address)
	if err := proto.answer(err); err != nil || far == nil {
		if far != nil {
			far.Close()
		}
		return
	}
	defer far.Close()
	defer context.AfterFunc(t.ctx, cancel)()
	join(c, r, far)
}

// join copies both ways until both have ended or one has failed.
func join(near net.Conn, nearReader io.Reader, far net.Conn) {
	var wg sync.WaitGroup
	move := func(to net.Conn, from io.Reader, deadline net.Conn) {
		if _, err := io.Copy(to, &watched{from, deadline, to}); err != nil {
			near.Close()
			far.Close()
			return
		}
		if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			to.Close()
		}
	}
	wg.Go(func() { move(far, nearReader, near) })
	move(near, far, far)
	wg.Wait()
}

// A watched reader gives up on a connection that has been idle for too long.
type watched struct {
	io.Reader
	from, to net.Conn
}

func (w *watched) Read(b []byte) (int, error) {
	end := time.Now().Add(idleTimeout)
	if err := errors.Join(w.from.SetReadDeadline(end), w.to.SetWriteDeadline(end)); err != nil {
		return 0, err
	}
	return w.Reader.Read(b)
}
