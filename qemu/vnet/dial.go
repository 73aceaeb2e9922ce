package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// DialContext connects to a member of the LAN. It has the form that
// http.Transport and net.Dialer share: network is tcp or udp, with a 4 or 6
// behind it to insist on a family; address is host:port, and a name is asked
// from the name server of the host. All addresses of a name are tried in turn.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s is no port", service)
	}
	addrs, err := h.lookup(ctx, network, name)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		c, err := h.dial(ctx, network, netip.AddrPortFrom(a, uint16(port)))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("dialing %s on the LAN: %w", address, errors.Join(errs...))
}

// lookup returns the addresses of a name in the family of network.
func (h *Host) lookup(ctx context.Context, network, name string) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, 1)
	var err error
	if addrs[0], err = netip.ParseAddr(name); err != nil {
		if h.resolver == nil {
			return nil, fmt.Errorf("no name server to ask for %q", name)
		}
		if addrs, err = h.resolver.LookupNetIP(ctx, "ip"+strings.TrimLeft(network, "tcpud"), name); err != nil {
			return nil, err
		}
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, nil
}

// resolve returns a resolver that asks one name server.
func (h *Host) resolve(at netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := h.dial(ctx, network, at)
		if err == nil {
			// The resolver would wait for an answer longer than anybody waits for it.
			context.AfterFunc(ctx, func() { _ = c.Close() })
		}
		return c, err
	}}
}

func (h *Host) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	if family := network[len(network)-1]; family == '4' && !to.Addr().Is4() || family == '6' && to.Addr().Is4() {
		return nil, fmt.Errorf("%v is no address for %s", to, network)
	}
	at := full(to)
	switch strings.TrimRight(network, "46") {
	case "tcp":
		c, err := gonet.DialContextTCP(ctx, h.stack, at, protocolOf(to.Addr()))
		if err != nil {
			return nil, err // Not the nil *TCPConn.
		}
		return c, nil
	case "udp":
		c, err := gonet.DialUDP(h.stack, nil, &at, protocolOf(to.Addr()))
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return nil, net.UnknownNetworkError(network)
}

// ListenTCP listens at an address of the host, or at an unspecified one for all
// of its family; the unspecified one of IPv6 includes IPv4, as on Linux. Port 0
// means any.
func (h *Host) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	l, err := gonet.ListenTCP(h.stack, full(at), protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("listening at %v on the LAN: %w", at, err)
	}
	return l, nil
}

// ListenUDP is [Host.ListenTCP] for datagrams.
func (h *Host) ListenUDP(at netip.AddrPort) (net.PacketConn, error) {
	from := full(at)
	c, err := gonet.DialUDP(h.stack, &from, nil, protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("listening at %v on the LAN: %w", at, err)
	}
	return c, nil
}

// full is an address in gvisor's form, where an unspecified one is empty, and
// one that names the interface need not be the host's own.
func full(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Port: a.Port()}
	if a.Addr().IsLinkLocalUnicast() {
		f.NIC = nic
	}
	if !a.Addr().IsUnspecified() {
		f.Addr = tcpip.AddrFromSlice(a.Addr().AsSlice())
	}
	return f
}
