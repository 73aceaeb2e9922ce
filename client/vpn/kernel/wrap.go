package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"

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
	peer  atomic.Pointer[netip.AddrPort] // WireGuard's own port.

	stop context.CancelFunc
	done sync.WaitGroup
}

func newWrapper(l policy.Link) (*wrapper, error) {
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
	w := &wrapper{local: in.LocalAddr().(*net.UDPAddr).AddrPort(), to: l.Endpoint, wrap: *l.Wrap, in: in, out: out, stop: stop}
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
		w.peer.Store(&from)
		_ = w.out.Send(buf[:n]) // It is not too long. Lost is lost, as on any network.
	}
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
