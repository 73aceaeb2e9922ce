package netstack

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
)

// socketBuffer is how much a socket may hold, as far as the kernel lets it: what
// does not fit is lost, and every client's connections slow down.
const socketBuffer = 4 << 20

// A bind is the UDP sockets of the gateway: those that were configured and no
// others. What came by one is answered by the same.
type bind struct {
	listen []string

	mu    sync.Mutex
	conns []*net.UDPConn
}

// Open implements conn.Bind; the port is the configuration's.
func (b *bind) Open(uint16) (fns []conn.ReceiveFunc, port uint16, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.conns) > 0 {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	for _, text := range b.listen {
		addr, err := net.ResolveUDPAddr("udp", text)
		if err != nil {
			return nil, 0, errors.Join(err, b.closeAll())
		}
		c, err := net.ListenUDP("udp", addr)
		if err != nil {
			return nil, 0, errors.Join(err, b.closeAll())
		}
		b.conns = append(b.conns, c)
		if err := errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer)); err != nil {
			return nil, 0, errors.Join(err, b.closeAll())
		}
		fns = append(fns, receive(c))
	}
	local, err := netip.ParseAddrPort(b.conns[0].LocalAddr().String())
	return fns, local.Port(), err
}

// receive reads one datagram at a time.
func receive(c *net.UDPConn) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := c.ReadFromUDPAddrPort(packets[0])
		if err != nil {
			return 0, err
		}
		sizes[0], eps[0] = n, &endpoint{to: from, by: c}
		return 1, nil
	}
}

// Close implements conn.Bind.
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closeAll()
}

func (b *bind) closeAll() (err error) {
	for _, c := range b.conns {
		err = errors.Join(err, c.Close())
	}
	b.conns = nil
	return err
}

// SetMark implements conn.Bind; sockets here have none.
func (b *bind) SetMark(uint32) error { return nil }

// Send implements conn.Bind.
func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	e, ok := ep.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	for _, buf := range bufs {
		if _, err := e.by.WriteToUDPAddrPort(buf, e.to); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind. A gateway calls nobody.
func (b *bind) ParseEndpoint(string) (conn.Endpoint, error) {
	return nil, errors.New("peers of a gateway have no endpoint until they call")
}

// BatchSize implements conn.Bind.
func (b *bind) BatchSize() int { return 1 }

// An endpoint is where a peer called from, and the socket that it called.
type endpoint struct {
	to netip.AddrPort
	by *net.UDPConn
}

// ClearSrc implements conn.Endpoint.
func (e *endpoint) ClearSrc() {}

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return "" }

// DstToString implements conn.Endpoint.
func (e *endpoint) DstToString() string { return e.to.String() }

// DstToBytes implements conn.Endpoint.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.to.MarshalBinary() // Never fails.
	return b
}

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.to.Addr() }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return netip.Addr{} }
