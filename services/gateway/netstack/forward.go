package netstack

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dialTime = 10 * time.Second
	tcpIdle  = time.Hour   // Without a byte in either direction.
	udpIdle  = time.Minute // RFC 4787, 4.3 asks for two; names need seconds.
)

// dial makes the outer half of a flow.
func (p *Plane) dial(ctx context.Context, network string, client netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime}
	if src, ok := p.rules.from(client, to.Addr()); !ok {
		return nil, errDown
	} else if src.IsValid() && to != p.rules.resolver {
		d.LocalAddr = local(network, src)
	}
	return d.DialContext(ctx, network, to.String())
}

func local(network string, src netip.Addr) net.Addr {
	if network == "udp" {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
}

func addr(a tcpip.Address) netip.Addr {
	got, _ := netip.AddrFromSlice(a.AsSlice()) // Invalid, if it is neither IPv4 nor IPv6.
	return got
}

// tcp carries one TCP connection. The forwarder calls it in a goroutine.
func (p *Plane) tcp(r *tcp.ForwarderRequest) {
	id := r.ID()
	client := addr(id.RemoteAddress)
	to, ok := p.rules.route(closedTCP, netip.AddrPortFrom(addr(id.LocalAddress), id.LocalPort))
	if !ok {
		r.Complete(true)
		return
	}
	ctx, end, ok := p.flows.begin(client, false)
	if !ok {
		r.Complete(true)
		return
	}
	defer end()
	out, err := p.dial(ctx, "tcp", client, to)
	if err != nil {
		r.Complete(true)
		return
	}
	defer out.Close()
	// The handshake may wait for a client that has gone: the server does not.
	defer context.AfterFunc(ctx, func() { out.Close() })()
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	r.Complete(terr != nil)
	if terr != nil {
		return
	}
	w := way{client: client, meter: p.meters.wait, idle: tcpIdle, size: 16 << 10}
	w.splice(ctx, gonet.NewTCPConn(&wq, ep), out)
}

// udp carries the datagrams of one client's port to another. The forwarder
// calls it between packets.
func (p *Plane) udp(r *udp.ForwarderRequest) {
	id := r.ID()
	client := addr(id.RemoteAddress)
	to, ok := p.rules.route(closedUDP, netip.AddrPortFrom(addr(id.LocalAddress), id.LocalPort))
	if !ok {
		return
	}
	ctx, end, ok := p.flows.begin(client, true)
	if !ok {
		return
	}
	out, err := p.dial(ctx, "udp", client, to)
	if err != nil {
		end()
		return
	}
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	if terr != nil {
		out.Close()
		end()
		return
	}
	go func() {
		defer end()
		w := way{client: client, meter: p.meters.drop, idle: udpIdle, size: maxDatagram + 1, whole: true}
		w.splice(ctx, gonet.NewUDPConn(&wq, ep), out)
	}()
}

// A way is how a flow is carried.
type way struct {
	client netip.Addr
	meter  func(ctx context.Context, client netip.Addr, direction, n int) (drop bool)
	idle   time.Duration
	size   int          // Of what is read at once, bytes.
	whole  bool         // What fills that is cut off, and lost.
	last   atomic.Int64 // When one side spoke, Unix time in ns.
}

// splice copies both ways until both sides have ended, one fails, nothing was
// said for the idle time, or ctx is done. It closes both.
func (w *way) splice(ctx context.Context, in, out net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		in.Close()
		out.Close()
	})()
	defer in.Close()
	defer out.Close()
	w.last.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	pump := func(dst, src net.Conn, direction int) {
		if !w.copy(ctx, dst, src, direction) {
			cancel()
		}
	}
	wg.Go(func() { pump(out, in, up) })
	wg.Go(func() { pump(in, out, down) })
	wg.Wait()
}

// copy copies until src ends, which it tells dst. It reports false if anything
// else ended it. The silence of one way counts only while the other is silent
// as well.
func (w *way) copy(ctx context.Context, dst, src net.Conn, direction int) bool {
	buf := make([]byte, w.size)
	for {
		wait := w.idle - time.Since(time.Unix(0, w.last.Load()))
		if wait <= 0 || src.SetReadDeadline(time.Now().Add(wait)) != nil {
			return false
		}
		n, err := src.Read(buf)
		if n > 0 {
			w.last.Store(time.Now().UnixNano())
			if !(w.whole && n == w.size) && !w.meter(ctx, w.client, direction, n) {
				if dst.SetWriteDeadline(time.Now().Add(w.idle)) != nil {
					return false
				}
				if _, err := dst.Write(buf[:n]); err != nil {
					return false
				}
			}
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			continue
		}
		if err == io.EOF {
			half, ok := dst.(interface{ CloseWrite() error })
			return ok && half.CloseWrite() == nil
		}
		if err != nil {
			return false
		}
	}
}
