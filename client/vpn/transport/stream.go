package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

const (
	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second
	// idleTimeout ends a connection by which nothing came: with a keepalive of
	// 25 s a living tunnel shakes hands again every 2 minutes.
	idleTimeout = 3 * time.Minute
	retryPause  = time.Second
	queue       = 256      // Datagrams that wait in one direction.
	maxWrite    = 64 << 10 // Bytes of one write.
)

// DialFunc connects beside the tunnel, as policy.Path.Dial does.
type DialFunc func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)

// A Stream carries datagrams to one gateway over TLS. Its methods may be
// called from any goroutine.
type Stream struct {
	dial   DialFunc
	to     netip.AddrPort
	tls    *tls.Config
	out    chan []byte
	in     chan []byte
	ctx    context.Context // Done once closed: the life of the Stream, not of a call.
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewStream returns a Stream to the gateway at to, and begins to connect by
// dial. A malformed CA or certificate is Invalid.
func NewStream(dial DialFunc, to netip.AddrPort, w policy.Wrap) (*Stream, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.CA) {
		return nil, problem.Invalid.Errorf("the provider's CA is malformed")
	}
	pair, err := w.Pair.TLS()
	if err != nil {
		return nil, err
	}
	s := &Stream{
		dial: dial, to: to, out: make(chan []byte, queue), in: make(chan []byte, queue),
		tls: &tls.Config{
			RootCAs: roots, ServerName: w.ServerName, MinVersion: tls.VersionTLS13, NextProtos: []string{lease.ALPN},
			Certificates: []tls.Certificate{pair}, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s, nil
}

// Close ends the connection and returns when nothing runs any more.
func (s *Stream) Close() {
	s.cancel()
	s.wg.Wait()
}

// Send takes a copy of a datagram to be sent. It never waits: what finds no
// room is dropped. Invalid: too long.
func (s *Stream) Send(datagram []byte) error {
	frame, err := lease.AppendFrame(nil, datagram)
	if err != nil {
		return err
	}
	select {
	case s.out <- frame:
	default: // Full, as a network may be.
	}
	return nil
}

// Receive returns the next datagram of the gateway. It fails when ctx is done.
func (s *Stream) Receive(ctx context.Context) ([]byte, error) {
	select {
	case d := <-s.in:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run connects until the Stream is closed.
func (s *Stream) run() {
	for s.ctx.Err() == nil {
		if c, err := s.connect(); err == nil {
			s.carry(c)
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

func (s *Stream) connect() (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, connectTimeout)
	defer cancel()
	raw, err := s.dial(ctx, "tcp", s.to)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, s.tls)
	err = c.HandshakeContext(ctx)
	if err == nil && c.ConnectionState().NegotiatedProtocol != lease.ALPN {
		err = errors.New("the server does not carry datagrams")
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// carry moves datagrams until the connection breaks or the Stream is closed.
func (s *Stream) carry(c *tls.Conn) {
	ctx, cancel := context.WithCancel(s.ctx)
	stop := context.AfterFunc(ctx, func() { c.NetConn().Close() })
	var wg sync.WaitGroup
	wg.Go(func() { s.write(ctx, c); cancel() })
	s.read(ctx, c)
	cancel()
	wg.Wait()
	stop()
	c.NetConn().Close()
}

func (s *Stream) write(ctx context.Context, c *tls.Conn) {
	for {
		var b []byte
		select {
		case b = <-s.out:
		case <-ctx.Done():
			return
		}
	more:
		for len(b) < maxWrite-lease.MaxDatagram {
			select {
			case next := <-s.out:
				b = append(b, next...)
			default:
				break more
			}
		}
		if c.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func (s *Stream) read(ctx context.Context, c *tls.Conn) {
	r := bufio.NewReaderSize(c, maxWrite)
	for {
		if c.SetReadDeadline(time.Now().Add(idleTimeout)) != nil {
			return
		}
		buf := make([]byte, lease.MaxDatagram)
		n, err := lease.ReadFrame(r, buf)
		if err != nil {
			return
		}
		select {
		case s.in <- buf[:n]:
		case <-ctx.Done():
			return
		}
	}
}
