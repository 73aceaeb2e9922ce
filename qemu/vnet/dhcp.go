package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dhcpPort, dhcpClientPort = 67, 68
	leaseTime                = time.Hour
)

// A Lease is what the DHCP server of the LAN gives to one member.
type Lease struct {
	MAC     net.HardwareAddr
	Address netip.Prefix // IPv4, with the length of its network.
	// Server is the host's own address in that network. The member is told that
	// gateway, name server and clock are there.
	Server netip.Addr
}

// ServeDHCP gives each known member its address, until Close. Others get no
// answer.
func (h *Host) ServeDHCP(leases []Lease) error {
	c, err := h.listenBroadcast(dhcpPort)
	if err != nil {
		return err
	}
	d := &dhcpServer{conn: c, leases: map[string]Lease{}}
	for _, l := range leases {
		d.leases[l.MAC.String()] = l
	}
	return h.serve(d.run, c.Close)
}

// listenBroadcast listens for datagrams to all members.
func (h *Host) listenBroadcast(port uint16) (net.PacketConn, error) {
	var queue waiter.Queue
	end, failed := h.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if failed != nil {
		return nil, errors.New(failed.String())
	}
	end.SocketOptions().SetBroadcast(true)
	// A broadcast has no route: it leaves by the device that is named.
	failed = end.SocketOptions().SetBindToDevice(nic)
	if failed == nil {
		failed = end.Bind(tcpip.FullAddress{Port: port})
	}
	if failed != nil {
		end.Close()
		return nil, fmt.Errorf("listening for broadcasts to port %d: %s", port, failed)
	}
	return gonet.NewUDPConn(&queue, end), nil
}

type dhcpServer struct {
	conn   net.PacketConn
	leases map[string]Lease // By MAC.
}

func (d *dhcpServer) run() {
	b := make([]byte, MTU)
	for {
		n, _, err := d.conn.ReadFrom(b)
		if err != nil {
			return // Closed.
		}
		ask, err := dhcpv4.FromBytes(b[:n])
		if err != nil {
			continue
		}
		answer, err := d.answer(ask)
		if err != nil || answer == nil {
			continue
		}
		to := net.IPv4bcast
		if ask.ClientIPAddr != nil && !ask.ClientIPAddr.IsUnspecified() {
			to = ask.ClientIPAddr
		}
		_, _ = d.conn.WriteTo(answer.ToBytes(), &net.UDPAddr{IP: to.To4(), Port: dhcpClientPort}) // Who asked asks again.
	}
}

// answer returns what a client gets, nil if that is nothing.
func (d *dhcpServer) answer(ask *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	l, ok := d.leases[ask.ClientHWAddr.String()]
	if !ok || ask.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, nil
	}
	server := net.IP(l.Server.AsSlice())
	id := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server))
	kind := dhcpv4.MessageTypeOffer
	switch ask.MessageType() {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		want := ask.RequestedIPAddress()
		if want == nil {
			want = ask.ClientIPAddr
		}
		if !want.Equal(l.Address.Addr().AsSlice()) {
			return dhcpv4.NewReplyFromRequest(ask, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), id)
		}
	default:
		return nil, nil
	}
	return dhcpv4.NewReplyFromRequest(ask,
		dhcpv4.WithMessageType(kind), id, dhcpv4.WithYourIP(l.Address.Addr().AsSlice()),
		dhcpv4.WithNetmask(net.CIDRMask(l.Address.Bits(), 32)), dhcpv4.WithLeaseTime(uint32(leaseTime/time.Second)),
		dhcpv4.WithRouter(server), dhcpv4.WithDNS(server), dhcpv4.WithOption(dhcpv4.OptNTPServers(server)))
}
