package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/transport"
	"leap.example/services/protocol/lease"
)

// A wrapper carries the tunnel's datagrams over TLS, for WireGuard of either
// kind: that of the kernel has no socket that could be another. It sends them to
// one on loopback.
type wrapper struct {
	local netip.AddrPort // Where WireGuard's endpoint is.
	to    netip.AddrPort
	wrap  policy.Wrap
	in    *net.UDPConn
	out   *transport.Stream
	port  func() (uint16, error)         // WireGuard's own, as it says. 0: it has none yet.
	asked time.Time                      // When it was asked last. Of up.
	peer  atomic.Pointer[netip.AddrPort] // WireGuard's socket. Nil: not known.

	stop context.CancelFunc
	done sync.WaitGroup
}

// portPause is how long nobody asks WireGuard again for its port: any process may
// send to the wrapper.
const portPause = 100 * time.Millisecond

func newWrapper(l policy.Link, port func() (uint16, error)) (*wrapper, error) {
	in, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)))
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
		return dialer().DialContext(ctx, network, addr.String())
	}
	out, err := transport.NewStream(dial, l.Endpoint, *l.Wrap)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &wrapper{local: in.LocalAddr().(*net.UDPAddr).AddrPort(), to: l.Endpoint, wrap: *l.Wrap, in: in, out: out, port: port, stop: stop}
	context.AfterFunc(ctx, func() { in.Close() })
	w.done.Go(w.up)
	w.done.Go(func() { w.down(ctx) })
	return w, nil
}

// same reports whether the wrapper serves l too.
func (w *wrapper) same(l policy.Link) bool {
	return l.Wrap != nil && w.to == l.Endpoint && reflect.DeepEqual(w.wrap, *l.Wrap)
}

func (w *wrapper) close() {
	w.stop()
	w.done.Wait()
	w.out.Close()
}

// up moves WireGuard's datagrams, until the socket is closed.
func (w *wrapper) up() {
	buf := make([]byte, lease.MaxDatagram)
	for {
		n, from, err := w.in.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue // WireGuard's socket is not there at the moment.
		}
		if !w.known(from) {
			continue // Any process can send to loopback. It gets no answers, and none of WireGuard's.
		}
		_ = w.out.Send(buf[:n]) // It is not too long. Lost is lost, as on any network.
	}
}

// known reports whether WireGuard has sent from there, on whose port nobody else
// can be.
func (w *wrapper) known(from netip.AddrPort) bool {
	if peer := w.peer.Load(); peer != nil && *peer == from {
		return true
	}
	if time.Since(w.asked) < portPause {
		return false
	}
	w.asked = time.Now()
	port, err := w.port()
	if err != nil || port == 0 {
		return false
	}
	peer := netip.AddrPortFrom(w.local.Addr(), port)
	w.peer.Store(&peer)
	return peer == from
}

// down moves the gateway's.
func (w *wrapper) down(ctx context.Context) {
	for {
		datagram, err := w.out.Receive(ctx)
		if err != nil {
			return
		}
		if peer := w.peer.Load(); peer != nil {
			_, _ = w.in.WriteToUDPAddrPort(datagram, *peer)
		}
	}
}
