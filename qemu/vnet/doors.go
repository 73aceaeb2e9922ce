package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

const (
	doorNetworks = 32   // How many networks of loopback are tried.
	doorNames    = 5377 // UDP port of the name server. Who listens there has the network.
)

// Doors bring TCP ports of members of the LAN to loopback, for programs of this
// machine, which have no foot on the LAN: each member has an address of its own
// there, with its own ports, and a name server says these addresses. They are
// open until the host is closed. The network of loopback that these addresses are
// in is no other Doors' of this machine.
type Doors struct {
	host     *Host
	network  netip.Addr
	dns      netip.AddrPort
	resolver string

	mu    sync.Mutex
	tried map[netip.AddrPort]error // By address on the LAN; nil is open.
}

// Doors begins, without any door. network is one of loopback, like 127.77.0.0,
// of whose addresses the last two bytes are those of members; if others have it,
// that is so of the next one that is free, 127.78.0.0. at is where the LAN's name
// server is.
func (h *Host) Doors(network netip.Addr, at netip.AddrPort) (*Doors, error) {
	network, packets, err := claim(network)
	if err != nil {
		return nil, err
	}
	d := &Doors{host: h, network: network, dns: at, resolver: packets.LocalAddr().String(), tried: map[netip.AddrPort]error{}}
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: packets, Handler: d, NotifyStartedFunc: func() { close(ready) }}
	return d, h.serve(func() { _ = s.ActivateAndServe() }, // Ends with an error that says that it was closed.
		func() error { <-ready; return s.Shutdown() })
}

// claim listens where the name server of the first network is that nobody else has,
// from this one on.
func claim(network netip.Addr) (_ netip.Addr, packets net.PacketConn, err error) {
	for b, k := network.As4(), 0; k < doorNetworks; b[1], k = b[1]+1, k+1 {
		network = netip.AddrFrom4(b)
		packets, err = net.ListenPacket("udp", netip.AddrPortFrom(network.Next(), doorNames).String())
		if err == nil {
			return network, packets, nil
		}
	}
	return network, nil, fmt.Errorf("of %d networks of loopback none is free: %w", doorNetworks, err)
}

// Resolver is where the name server is, host:port, for datagrams.
func (d *Doors) Resolver() string { return d.resolver }

// At is where a member is on loopback.
func (d *Doors) At(member netip.Addr) netip.Addr {
	net, own := d.network.As4(), member.As4()
	return netip.AddrFrom4([4]byte{net[0], net[1], own[2], own[3]})
}

// Open opens a door to a port of a member with an IPv4 address, if it is not open.
// The error may be that of [net.Listen]: below port 1024 not everybody may.
func (d *Doors) Open(to netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err, done := d.tried[to]; done && err == nil {
		return nil
	}
	_, err := d.host.Forward("tcp", netip.AddrPortFrom(d.At(to.Addr()), to.Port()).String(), to.String())
	d.tried[to] = err
	return err
}

// Ports are those of a member whose doors are open, in their order, and why others
// that were asked for are not.
func (d *Doors) Ports(member netip.Addr) (open []uint16, shut error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for to, err := range d.tried {
		switch {
		case to.Addr() != member:
		case err != nil:
			shut = err
		default:
			open = append(open, to.Port())
		}
	}
	slices.Sort(open)
	return open, shut
}

// ServeDNS passes a question on to the LAN, and says doors for the addresses that
// come back.
func (d *Doors) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	answer, err := d.ask(q)
	if err != nil {
		answer = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
				a.A = d.At(ip).AsSlice()
			}
		}
	}
	_ = w.WriteMsg(answer) // Who asked asks again.
}

func (d *Doors) ask(q *dns.Msg) (answer *dns.Msg, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), forwardPatience)
	defer cancel()
	conn, err := d.host.DialContext(ctx, "udp", d.dns.String())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answer, _, err = new(dns.Client).ExchangeWithConn(q, &dns.Conn{Conn: conn})
	return answer, err
}
