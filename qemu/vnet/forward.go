package vnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	forwardPatience = 10 * time.Second // For the member to answer the dial.
	forwardIdle     = time.Minute      // A conversation of datagrams without any ends.
	maxTalks        = 256              // Conversations of datagrams at a time.
)

// A Forward lets any process of this machine reach one address of the LAN.
type Forward struct {
	host    *Host
	cancel  context.CancelFunc // Of dials.
	network string             // To the LAN: tcp or udp.
	to      string

	mu     sync.Mutex
	closed bool
	conns  map[io.Closer]bool
	end    io.Closer
	wg     sync.WaitGroup
	addr   net.Addr
}

// Forward listens on this machine and connects what comes to an address on the
// LAN, host:port, which is looked up each time. network is tcp, udp or unix; for
// the first two hostAddr is a loopback address with a port, which may be 0; for
// unix it is the path of a socket of which the LAN's side is TCP. It ends with
// Close of itself or of the host.
func (h *Host) Forward(network, hostAddr, lanAddr string) (*Forward, error) {
	f := &Forward{host: h, network: "tcp", to: lanAddr, conns: map[io.Closer]bool{}}
	if network != "unix" {
		if a, err := netip.ParseAddrPort(hostAddr); err != nil || !a.Addr().IsLoopback() {
			return nil, fmt.Errorf("forwards listen on loopback only, not at %s", hostAddr)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	run, err := f.listen(ctx, network, hostAddr)
	if err != nil {
		cancel()
		return nil, err
	}
	return f, h.serve(run, f.Close)
}

// listen returns what serves the forward.
func (f *Forward) listen(ctx context.Context, network, hostAddr string) (func(), error) {
	switch network {
	case "tcp", "unix":
		l, err := net.Listen(network, hostAddr)
		if err != nil {
			return nil, err
		}
		f.end, f.addr = l, l.Addr()
		return func() { f.accept(ctx, l) }, nil
	case "udp":
		c, err := net.ListenPacket(network, hostAddr)
		if err != nil {
			return nil, err
		}
		f.network, f.end, f.addr = network, c, c.LocalAddr()
		return func() { f.relay(ctx, c) }, nil
	}
	return nil, net.UnknownNetworkError(network)
}

// Addr returns where the forward listens.
func (f *Forward) Addr() net.Addr { return f.addr }

// Close ends the forward and all its connections.
func (f *Forward) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.cancel()
	err := f.end.Close()
	for c := range f.conns {
		_ = c.Close() // Its copies end.
	}
	f.mu.Unlock()
	f.wg.Wait()
	return err
}

// keep remembers a connection for Close, unless that was called.
func (f *Forward) keep(c io.Closer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.conns[c] = true
	}
	return !f.closed
}

// drop closes a connection.
func (f *Forward) drop(c io.Closer) {
	_ = c.Close() // Both ends are done with it.
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// spawn runs a part of the forward that Close waits for.
func (f *Forward) spawn(run func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.wg.Go(run)
	}
}

// dial connects to the LAN.
func (f *Forward) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardPatience)
	defer cancel()
	c, err := f.host.DialContext(ctx, f.network, f.to)
	if err == nil && !f.keep(c) {
		err = errors.Join(net.ErrClosed, c.Close())
	}
	return c, err
}

// accept connects streams.
func (f *Forward) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // Closed.
		}
		if !f.keep(c) {
			_ = c.Close()
			return
		}
		f.spawn(func() { f.join(ctx, c) })
	}
}

// join copies a stream both ways until both have ended.
func (f *Forward) join(ctx context.Context, c net.Conn) {
	defer f.drop(c)
	lan, err := f.dial(ctx)
	if err != nil {
		return // The caller sees a closed connection.
	}
	defer f.drop(lan)
	var wg sync.WaitGroup
	wg.Go(func() { pass(lan, c) })
	wg.Go(func() { pass(c, lan) })
	wg.Wait()
}

// pass copies a stream, with its end.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = to.Close()
		_ = from.Close()
	}
}

// relay connects datagrams: each sender has a conversation of its own.
func (f *Forward) relay(ctx context.Context, c net.PacketConn) {
	var mu sync.Mutex
	talks := map[string]net.Conn{}
	b := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return // Closed.
		}
		mu.Lock()
		talk, many := talks[from.String()], len(talks) >= maxTalks
		mu.Unlock()
		if talk == nil {
			if many {
				continue
			}
			if talk, err = f.dial(ctx); err != nil {
				continue // Lost, as datagrams are.
			}
			mu.Lock()
			talks[from.String()] = talk
			mu.Unlock()
			f.spawn(func() {
				answers(c, from, talk)
				mu.Lock()
				delete(talks, from.String())
				mu.Unlock()
				f.drop(talk)
			})
		}
		_ = talk.SetReadDeadline(time.Now().Add(forwardIdle)) // Of a closed one: the write fails, too.
		_, _ = talk.Write(b[:n])                              // Lost, as datagrams are.
	}
}

// answers gives a sender what the member answers, until the conversation is idle.
func answers(to net.PacketConn, sender net.Addr, talk net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := talk.Read(b)
		if err != nil {
			return // Idle, refused or closed; the next datagram begins another.
		}
		_, _ = to.WriteTo(b[:n], sender) // Lost, as datagrams are.
	}
}
