package kernel

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// Times of a connection that carries the tunnel.
const (
	wrapHandshake = 10 * time.Second // For TCP and TLS together.
	wrapWrite     = 10 * time.Second // For one datagram.
	wrapIdle      = 5 * time.Minute  // Without a datagram from the gateway: more than twice WireGuard's rekeying (120 s).
	wrapRetry     = time.Second      // Between two attempts.
)

// A wrapper carries the tunnel's datagrams over TLS. WireGuard sends them to a
// socket on loopback; a connection is made when there is one to send, and again
// when it breaks. What does not fit is dropped, as a network would.
type wrapper struct {
	local netip.AddrPort // Where WireGuard's endpoint is.
	link  policy.Link
	tls   *tls.Config
	log   *slog.Logger
	in    *net.UDPConn
	peer  atomic.Pointer[netip.AddrPort] // WireGuard's own port.

	stop context.CancelFunc
	done sync.WaitGroup
}

func newWrapper(l policy.Link, log *slog.Logger) (*wrapper, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.Wrap.CA) {
		return nil, problem.Invalid.Errorf("the provider's CA is no certificate in PEM")
	}
	in, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &wrapper{
		local: in.LocalAddr().(*net.UDPAddr).AddrPort(), link: l, log: log, in: in, stop: stop,
		tls: &tls.Config{
			RootCAs: roots, ServerName: l.Wrap.ServerName, MinVersion: tls.VersionTLS13, NextProtos: []string{lease.ALPN},
			CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		},
	}
	context.AfterFunc(ctx, func() { in.Close() })
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// same reports whether the wrapper serves l too.
func (w *wrapper) same(l policy.Link) bool {
	return w.link.Endpoint == l.Endpoint && reflect.DeepEqual(w.link.Wrap, l.Wrap)
}

func (w *wrapper) close() {
	w.stop()
	w.done.Wait()
}

// run connects whenever there is something to send.
func (w *wrapper) run(ctx context.Context) {
	buf := make([]byte, lease.MaxDatagram)
	for ctx.Err() == nil {
		n, err := w.receive(buf)
		if err != nil {
			return // Closed.
		}
		err = w.carry(ctx, buf[:n])
		if ctx.Err() != nil {
			return
		}
		w.log.Info("the connection that carries the tunnel ended", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wrapRetry):
		}
	}
}

// receive reads a datagram of WireGuard. It fails when the socket is closed.
func (w *wrapper) receive(buf []byte) (int, error) {
	for {
		n, from, err := w.in.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return 0, err
		}
		if err == nil && n > 0 {
			w.peer.Store(&from)
			return n, nil
		}
	}
}

// carry makes a connection and moves datagrams until it breaks.
func (w *wrapper) carry(ctx context.Context, first []byte) error {
	dialing, cancel := context.WithTimeout(ctx, wrapHandshake)
	defer cancel()
	raw, err := dialer().DialContext(dialing, "tcp", w.link.Endpoint.String())
	if err != nil {
		return reason(err)
	}
	c := tls.Client(raw, w.tls)
	defer c.Close()
	if err := c.HandshakeContext(dialing); err != nil {
		return errors.New("no TLS connection with a certificate of the provider")
	}
	if c.ConnectionState().NegotiatedProtocol != lease.ALPN {
		return errors.New("the gateway does not carry datagrams here")
	}
	broken := make(chan error, 1)
	w.done.Go(func() {
		broken <- w.down(c)
		_ = w.in.SetReadDeadline(time.Unix(1, 0)) // Wakes up the other direction.
	})
	end := context.AfterFunc(ctx, func() { c.Close() })
	defer end()
	err = w.up(c, first)
	c.Close()
	down := <-broken
	_ = w.in.SetReadDeadline(time.Time{})
	return errors.Join(err, down)
}

// down moves the gateway's datagrams.
func (w *wrapper) down(c net.Conn) error {
	buf, r := make([]byte, lease.MaxDatagram), bufio.NewReaderSize(c, 32<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(wrapIdle)); err != nil {
			return err
		}
		n, err := lease.ReadFrame(r, buf)
		if err != nil {
			return errors.New("no more datagrams of the gateway")
		}
		if peer := w.peer.Load(); peer != nil {
			_, _ = w.in.WriteToUDPAddrPort(buf[:n], *peer) // Lost, as on any network.
		}
	}
}

// up moves WireGuard's.
func (w *wrapper) up(c net.Conn, first []byte) error {
	buf, frame := make([]byte, lease.MaxDatagram), []byte(nil)
	for datagram := first; ; {
		var err error
		if frame, err = lease.AppendFrame(frame[:0], datagram); err != nil {
			return err
		}
		if err := c.SetWriteDeadline(time.Now().Add(wrapWrite)); err != nil {
			return err
		}
		if _, err := c.Write(frame); err != nil {
			return errors.New("the gateway takes no more datagrams")
		}
		n, from, err := w.in.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil // Woken up: down says why.
		}
		w.peer.Store(&from)
		datagram = buf[:n]
	}
}
