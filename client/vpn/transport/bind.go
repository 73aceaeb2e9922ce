package transport

import (
	"net"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"leap.example/client/vpn/policy"
)

// A Bind is wireguard-go's network, by UDP or over TLS. The device that it is
// given to owns it, but for Route.
type Bind struct {
	udp  conn.Bind
	dial DialFunc

	mu     sync.Mutex // Guards what follows.
	stream *Stream    // Nil: UDP.
	from   conn.Endpoint
	closed chan struct{} // Of the present Open.
	change chan struct{} // Closed when stream is replaced.
}

// NewBind returns a Bind whose TLS connections are made by dial and whose
// datagrams go out by udp.
func NewBind(udp conn.Bind, dial DialFunc) *Bind {
	return &Bind{udp: udp, dial: dial, change: make(chan struct{})}
}

// Route sends everything over TLS to the gateway at to from now on, or by UDP
// again when w is nil. Malformed: nothing changes.
func (b *Bind) Route(to netip.AddrPort, w *policy.Wrap) error {
	var s *Stream
	var from conn.Endpoint
	if w != nil {
		var err error
		if from, err = b.udp.ParseEndpoint(to.String()); err != nil {
			return err
		}
		if s, err = NewStream(b.dial, to, *w); err != nil {
			return err
		}
	}
	b.mu.Lock()
	old := b.stream
	b.stream, b.from = s, from
	close(b.change)
	b.change = make(chan struct{})
	b.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

// Open implements conn.Bind.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, port, err := b.udp.Open(port)
	if err != nil {
		return nil, 0, err
	}
	closed := make(chan struct{})
	b.mu.Lock()
	b.closed = closed
	b.mu.Unlock()
	receive := func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		return b.receive(closed, packets, sizes, eps)
	}
	return append(fns, receive), port, nil
}

// receive waits for datagrams of the present stream, or for one.
func (b *Bind) receive(closed chan struct{}, packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	for {
		b.mu.Lock()
		s, from, change := b.stream, b.from, b.change
		b.mu.Unlock()
		var in chan []byte
		if s != nil {
			in = s.in
		}
		select {
		case <-closed:
			return 0, net.ErrClosed
		case <-change:
		case d := <-in:
			sizes[0], eps[0] = copy(packets[0], d), from
			n := 1
			for n < len(packets) && len(in) > 0 { // There is no other reader.
				d := <-in
				sizes[n], eps[n] = copy(packets[n], d), from
				n++
			}
			return n, nil
		}
	}
}

// Close implements conn.Bind. The Route stays for the next Open.
func (b *Bind) Close() error {
	b.mu.Lock()
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	b.mu.Unlock()
	return b.udp.Close()
}

// SetMark implements conn.Bind. Connections of TLS are marked by who dials.
func (b *Bind) SetMark(mark uint32) error { return b.udp.SetMark(mark) }

// Send implements conn.Bind.
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	b.mu.Lock()
	s := b.stream
	b.mu.Unlock()
	if s == nil {
		return b.udp.Send(bufs, ep)
	}
	for _, d := range bufs {
		if err := s.Send(d); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) { return b.udp.ParseEndpoint(s) }

// BatchSize implements conn.Bind.
func (b *Bind) BatchSize() int { return b.udp.BatchSize() }
