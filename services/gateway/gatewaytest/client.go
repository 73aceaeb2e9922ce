package gatewaytest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"leap.example/services/protocol/lease"
)

// A Client is the other end of a tunnel, in this process.
type Client struct {
	Key, PSK  lease.Key // Its private key, and the one it shares with the gateway.
	Gateway   lease.Key
	Endpoint  netip.AddrPort // Of the gateway.
	Socket    net.PacketConn // Outside the tunnel. Close closes it.
	Addresses []netip.Prefix // In the tunnel.
	MTU       int

	Net *netstack.Net // Inside the tunnel, once it is started.
	dev *device.Device
}

// Start makes the tunnel. Its handshake comes with the first packet.
func (c *Client) Start() error {
	var addrs []netip.Addr
	for _, p := range c.Addresses {
		addrs = append(addrs, p.Addr())
	}
	tun, inside, err := netstack.CreateNetTUN(addrs, nil, c.MTU)
	if err != nil {
		return err
	}
	c.Net = inside
	c.dev = device.NewDevice(tun, &wire{socket: c.Socket}, &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
	err = c.dev.IpcSet(fmt.Sprintf(
		"private_key=%s\npublic_key=%s\npreshared_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n",
		c.Key.Hex(), c.Gateway.Hex(), c.PSK.Hex(), c.Endpoint))
	if err = errors.Join(err, c.dev.Up()); err != nil {
		c.Close()
	}
	return err
}

// Close ends the tunnel.
func (c *Client) Close() {
	c.dev.Close()
	c.Socket.Close()
}

// A wire is the one socket of a client as wireguard-go wants it.
type wire struct{ socket net.PacketConn }

// Open implements conn.Bind.
func (w *wire) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	if err := w.socket.SetReadDeadline(time.Time{}); err != nil {
		return nil, 0, err
	}
	if b, ok := w.socket.(interface{ SetReadBuffer(int) error }); ok {
		if err := b.SetReadBuffer(4 << 20); err != nil { // Loss would be measured instead of the gateway.
			return nil, 0, err
		}
	}
	read := func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := w.socket.ReadFrom(packets[0])
		if err != nil {
			return 0, net.ErrClosed
		}
		sizes[0], eps[0] = n, &conn.StdNetEndpoint{AddrPort: addrOf(from)}
		return 1, nil
	}
	return []conn.ReceiveFunc{read}, 0, nil
}

// Close implements conn.Bind: it ends reading. wireguard-go also calls it
// before Open; the socket is closed by the client.
func (w *wire) Close() error { return w.socket.SetReadDeadline(time.Now()) }

// SetMark implements conn.Bind.
func (w *wire) SetMark(uint32) error { return nil }

// Send implements conn.Bind.
func (w *wire) Send(bufs [][]byte, ep conn.Endpoint) error {
	to, err := net.ResolveUDPAddr("udp", ep.DstToString())
	if err != nil {
		return err
	}
	for _, b := range bufs {
		if _, err := w.socket.WriteTo(b, to); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (w *wire) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return &conn.StdNetEndpoint{AddrPort: a}, err
}

// BatchSize implements conn.Bind.
func (w *wire) BatchSize() int { return 1 }
