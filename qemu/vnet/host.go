package vnet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nic = 1

// HostConfig says who a host is.
type HostConfig struct {
	// Addrs are its addresses, with the networks they are in. Required.
	Addrs []netip.Prefix
	// DNS is the name server that DialContext asks. Without one it dials
	// addresses only.
	DNS netip.AddrPort
	// Routes are networks that it reaches through another member of the LAN.
	Routes []Route
	// Router has it pass on what is for one of its networks. It tells who sends
	// elsewhere that there is no way.
	Router bool
}

// A Route leads to a network by way of a router.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// A Host is this process as a member of the LAN: an IP stack behind a port, with
// IPv4, IPv6, ARP, neighbour discovery, ICMP, TCP and UDP. Its methods may be
// called from any goroutine.
type Host struct {
	port     *Port
	stack    *stack.Stack
	wire     *channel.Endpoint
	mac      mac
	resolver *net.Resolver // Nil without a name server.

	cancel context.CancelFunc
	done   chan struct{} // Closed when the stack sends no more.

	mu      sync.Mutex
	closed  bool
	servers []func() error // What Close ends.
	wg      sync.WaitGroup // Of servers and forwards.
}

// Host makes a member of the LAN, plugged into a new port of that name.
func (l *LAN) Host(name string, c HostConfig) (*Host, error) {
	if len(c.Addrs) == 0 {
		return nil, fmt.Errorf("host %s has no address", name)
	}
	h := &Host{mac: macOf(name), done: make(chan struct{})}
	h.wire = channel.New(512, MTU, tcpip.LinkAddress(h.mac[:]))
	h.wire.LinkEPCapabilities |= stack.CapabilityResolutionRequired
	h.stack = stack.New(stack.Options{
		HandleLocal: true, // What it sends to itself would not come back from the switch.
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol, ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: true}), arp.NewProtocol,
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := h.configure(c); err != nil {
		h.destroy()
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	port, err := l.Attach(name, h.receive)
	if err != nil {
		h.destroy()
		return nil, err
	}
	h.port = port
	if c.DNS.IsValid() {
		h.resolver = h.resolve(c.DNS)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go h.send(ctx)
	return h, nil
}

// macOf makes a locally administered address of a name.
func macOf(name string) (a mac) {
	sum := sha256.Sum256([]byte(name))
	copy(a[:], sum[:])
	a[0] = 0x02
	return a
}

// configure brings the interface up.
func (h *Host) configure(c HostConfig) error {
	if err := h.stack.CreateNIC(nic, ethernet.New(h.wire)); err != nil {
		return errors.New(err.String())
	}
	// Neighbours may ask from their link-local addresses (RFC 4861, 7.2.2).
	routes := []tcpip.Route{{Destination: header.IPv6LinkLocalPrefix.Subnet(), NIC: nic}}
	for _, a := range c.Addrs {
		if !a.IsValid() {
			return fmt.Errorf("no address: %v", a)
		}
		with := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(a.Addr().AsSlice()), PrefixLen: a.Bits()}
		protocol := tcpip.ProtocolAddress{Protocol: protocolOf(a.Addr()), AddressWithPrefix: with}
		if err := h.stack.AddProtocolAddress(nic, protocol, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %v: %s", a, err)
		}
		routes = append(routes, tcpip.Route{Destination: with.Subnet(), NIC: nic})
	}
	for _, r := range c.Routes {
		to := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(r.To.Addr().AsSlice()), PrefixLen: r.To.Bits()}
		routes = append(routes, tcpip.Route{Destination: to.Subnet(), Gateway: tcpip.AddrFromSlice(r.Via.AsSlice()), NIC: nic})
	}
	h.stack.SetRouteTable(routes)
	if c.Router {
		for _, p := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
			if err := h.stack.SetForwardingDefaultAndAllNICs(p, true); err != nil {
				return errors.New(err.String())
			}
		}
	}
	return nil
}

// protocolOf returns the protocol of an address.
func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// receive takes a frame from the LAN, as a network card does: what is for
// others is not for the stack.
func (h *Host) receive(frame []byte) error {
	if dst, _ := addresses(frame); dst != h.mac && !dst.multicast() {
		return nil
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	h.wire.InjectInbound(0, p)
	p.DecRef()
	return nil
}

// send gives the LAN what the stack writes.
func (h *Host) send(ctx context.Context) {
	defer close(h.done)
	for {
		p := h.wire.ReadContext(ctx)
		if p == nil {
			return
		}
		view := p.ToView()
		h.port.Send(append([]byte(nil), view.AsSlice()...))
		view.Release()
		p.DecRef()
	}
}

// Port returns where the host is plugged in.
func (h *Host) Port() *Port { return h.port }

// Close ends the host with its servers and forwards, and all their connections.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	var errs []error
	for _, end := range h.servers {
		errs = append(errs, end())
	}
	h.mu.Unlock()
	h.wg.Wait()
	h.destroy()
	h.cancel()
	<-h.done
	return errors.Join(append(errs, h.port.remove())...)
}

func (h *Host) destroy() {
	h.stack.Destroy()
	h.wire.Close()
}

// serve runs a server until Close, which calls end.
func (h *Host) serve(run func(), end func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		var wg sync.WaitGroup
		wg.Go(run)
		err := end()
		wg.Wait()
		return errors.Join(net.ErrClosed, err)
	}
	h.servers = append(h.servers, end)
	h.wg.Go(run)
	return nil
}
