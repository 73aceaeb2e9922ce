package netstack

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
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
	nic       = 1
	queueLen  = 1024 // Packets towards clients; what is more is lost.
	inFlight  = 1024 // TCP connections that are being made.
	batchSize = 64   // Packets at once between stack and device.

	synRetries = 3 // Of an answer to a connection, 1, 2, 4 s apart.
)

// A netstack is the IP stack as wireguard-go's device of packets.
type netstack struct {
	plane  *Plane
	stack  *stack.Stack
	wire   *channel.Endpoint
	events chan tun.Event
	close  func()
}

// newStack returns a stack that takes the packets of all destinations. The
// device closes it.
func newStack(p *Plane) (*netstack, error) {
	s := &netstack{plane: p, events: make(chan tun.Event, 1)}
	s.wire = channel.New(queueLen, uint32(p.cfg.MTU), "")
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	s.close = sync.OnceFunc(func() {
		s.wire.Close() // Ends Read.
		s.stack.Destroy()
		close(s.events)
	})
	if err := s.configure(); err != nil {
		s.close()
		return nil, err
	}
	s.events <- tun.EventUp
	return s, nil
}

func (s *netstack) configure() error {
	sack, retries := tcpip.TCPSACKEnabled(true), tcpip.TCPSynRetriesOption(synRetries)
	errs := []tcpip.Error{
		s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack),
		s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &retries),
		s.stack.CreateNIC(nic, s.wire),
		s.stack.SetPromiscuousMode(nic, true), // Packets for everybody are for it,
		s.stack.SetSpoofing(nic, true),        // and it answers as everybody.
	}
	for _, a := range s.plane.rules.own {
		proto := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
		if a.Is6() {
			proto.Protocol = ipv6.ProtocolNumber
		}
		errs = append(errs, s.stack.AddProtocolAddress(nic, proto, stack.AddressProperties{}))
	}
	for _, err := range errs {
		if err != nil {
			return errors.New("setting up the IP stack: " + err.String())
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.stack, 0, inFlight, s.plane.tcp).HandlePacket)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, s.plane.udp).HandlePacket)
	return nil
}

// Write implements tun.Device: packets from clients, whose source addresses
// wireguard-go has checked.
func (s *netstack) Write(bufs [][]byte, offset int) (int, error) {
	for _, buf := range bufs {
		packet := buf[offset:]
		h, ok := parse(packet)
		if !ok || !s.plane.passes(h) {
			continue
		}
		proto := header.IPv4ProtocolNumber
		if h.dst.Is6() {
			proto = header.IPv6ProtocolNumber
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		s.wire.InjectInbound(proto, pkt)
		pkt.DecRef()
	}
	return len(bufs), nil
}

// Read implements tun.Device: packets to clients.
func (s *netstack) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	pkt := s.wire.ReadContext(context.Background())
	if pkt == nil {
		return 0, os.ErrClosed
	}
	for ; pkt != nil; pkt = s.wire.Read() {
		view := pkt.ToView()
		pkt.DecRef()
		sizes[n] = copy(bufs[n][offset:], view.AsSlice())
		view.Release()
		if n++; n == len(bufs) {
			break
		}
	}
	return n, nil
}

// Name implements tun.Device.
func (s *netstack) Name() (string, error) { return "netstack", nil }

// File implements tun.Device.
func (s *netstack) File() *os.File { return nil }

// MTU implements tun.Device.
func (s *netstack) MTU() (int, error) { return s.plane.cfg.MTU, nil }

// Events implements tun.Device.
func (s *netstack) Events() <-chan tun.Event { return s.events }

// BatchSize implements tun.Device.
func (s *netstack) BatchSize() int { return batchSize }

// Close implements tun.Device.
func (s *netstack) Close() error {
	s.close()
	return nil
}

// A head is what the filter looks at of a packet.
type head struct {
	dst  netip.Addr
	icmp bool
}

// parse reads the head of a packet.
func parse(b []byte) (h head, ok bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		ip := header.IPv4(b)
		if !ip.IsValid(len(b)) {
			return h, false
		}
		h.icmp = ip.TransportProtocol() == header.ICMPv4ProtocolNumber
		h.dst = netip.AddrFrom4(ip.DestinationAddress().As4())
	case header.IPv6Version:
		ip := header.IPv6(b)
		if !ip.IsValid(len(b)) {
			return h, false
		}
		p := ip.TransportProtocol()
		// What hides behind extension headers counts as ICMP.
		h.icmp = p != header.TCPProtocolNumber && p != header.UDPProtocolNumber
		h.dst = netip.AddrFrom16(ip.DestinationAddress().As16())
	default:
		return h, false
	}
	return h, true
}

// passes is the filter: ICMP ends here, since the stack would answer for
// everybody.
func (p *Plane) passes(h head) bool {
	if h.icmp {
		return p.rules.isOwn(h.dst)
	}
	return p.rules.open(h.dst)
}
