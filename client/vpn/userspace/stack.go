package userspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic      = 1
	outgoing = 1024 // Packets that wait for WireGuard.
)

// A netstack is a TCP/IP stack whose link is WireGuard: it is the tun.Device.
// (wireguard-go brings one as well; that one panics when it is closed while a
// packet is on its way.)
type netstack struct {
	ep     *channel.Endpoint
	stack  *stack.Stack
	mtu    int
	events chan tun.Event
	v4, v6 bool
	ctx    context.Context // Done when closed.
	end    context.CancelFunc
	once   sync.Once
}

func newNetstack(own []netip.Prefix, mtu int) (*netstack, error) {
	n := &netstack{
		ep: channel.New(outgoing, uint32(mtu), ""), mtu: mtu, events: make(chan tun.Event, 1),
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
	}
	n.ctx, n.end = context.WithCancel(context.Background())
	if err := n.configure(own); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.events <- tun.EventUp
	return n, nil
}

func (n *netstack) configure(own []netip.Prefix) error {
	sack := tcpip.TCPSACKEnabled(true) // Without it a lost packet costs a window.
	if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return fmt.Errorf("the tunnel's stack: %v", err)
	}
	if err := n.stack.CreateNIC(nic, n.ep); err != nil {
		return fmt.Errorf("the tunnel's stack: %v", err)
	}
	for _, p := range own {
		a := tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(p.Addr().AsSlice()).WithPrefix()}
		all := header.IPv6EmptySubnet
		if p.Addr().Is4() {
			a.Protocol, all = ipv4.ProtocolNumber, header.IPv4EmptySubnet
			n.v4 = true
		} else {
			n.v6 = true
		}
		if err := n.stack.AddProtocolAddress(nic, a, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("the tunnel's stack: %v", err)
		}
		n.stack.AddRoute(tcpip.Route{Destination: all, NIC: nic})
	}
	return nil
}

// dialTCP connects to an address through the tunnel.
func (n *netstack) dialTCP(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	full, proto := address(a)
	c, err := gonet.DialContextTCP(ctx, n.stack, full, proto)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialUDP returns a socket that is connected to an address through the tunnel.
func (n *netstack) dialUDP(a netip.AddrPort) (net.Conn, error) {
	full, proto := address(a)
	c, err := gonet.DialUDP(n.stack, nil, &full, proto)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func address(a netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	proto := ipv6.ProtocolNumber
	if a.Addr().Is4() {
		proto = ipv4.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}, proto
}

// Read implements tun.Device: packets for WireGuard.
func (n *netstack) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	p := n.ep.ReadContext(n.ctx)
	if p == nil {
		return 0, os.ErrClosed
	}
	v := p.ToView()
	p.DecRef()
	defer v.Release()
	size, err := v.Read(bufs[0][offset:])
	sizes[0] = size
	return 1, err
}

// Write implements tun.Device: packets from WireGuard.
func (n *netstack) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		b = b[offset:]
		if len(b) == 0 {
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		switch b[0] >> 4 {
		case 4:
			n.ep.InjectInbound(header.IPv4ProtocolNumber, p)
		case 6:
			n.ep.InjectInbound(header.IPv6ProtocolNumber, p)
		}
		p.DecRef()
	}
	return len(bufs), nil
}

// Close implements tun.Device. Sockets in the stack fail.
func (n *netstack) Close() error {
	n.once.Do(func() {
		n.end()
		n.stack.Close()
		n.ep.Close()
		n.stack.Wait()
		close(n.events)
	})
	return nil
}

// File implements tun.Device: there is none.
func (n *netstack) File() *os.File { return nil }

// MTU implements tun.Device.
func (n *netstack) MTU() (int, error) { return n.mtu, nil }

// Name implements tun.Device.
func (n *netstack) Name() (string, error) { return "netstack", nil }

// Events implements tun.Device.
func (n *netstack) Events() <-chan tun.Event { return n.events }

// BatchSize implements tun.Device.
func (n *netstack) BatchSize() int { return 1 }
