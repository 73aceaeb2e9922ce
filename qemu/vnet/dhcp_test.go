package vnet_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"leap.example/qemu/vnet"
)

func TestDHCP(t *testing.T) {
	_, one, two := pair(t)
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 1}
	if err := two.ServeDHCP([]vnet.Lease{{MAC: mac, Address: netip.MustParsePrefix("10.77.0.1/24"), Server: two4}}); err != nil {
		t.Fatal(err)
	}
	c, err := one.ListenBroadcast(68)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	send := func(m *dhcpv4.DHCPv4, err error, to net.IP) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo(m.ToBytes(), &net.UDPAddr{IP: to.To4(), Port: 67}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
		t.Helper()
		b := make([]byte, 1500)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dhcpv4.FromBytes(b[:n])
		if err != nil || m.MessageType() != kind || !m.ServerIdentifier().Equal(two4.AsSlice()) {
			t.Fatalf("want %v, got %v, %v", kind, m, err)
		}
		return m
	}
	// Neither noise, nor strangers, nor those who want nothing get an answer.
	if _, err := c.WriteTo([]byte("no question"), &net.UDPAddr{IP: net.IPv4bcast.To4(), Port: 67}); err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 2})
	send(m, err, net.IPv4bcast)
	m, err = dhcpv4.NewInform(mac, one4.AsSlice())
	send(m, err, net.IPv4bcast)

	m, err = dhcpv4.NewDiscovery(mac)
	send(m, err, net.IPv4bcast)
	offer := receive(dhcpv4.MessageTypeOffer)
	m, err = dhcpv4.NewRequestFromOffer(offer)
	send(m, err, net.IPv4bcast)
	ack := receive(dhcpv4.MessageTypeAck)
	if ones, _ := ack.SubnetMask().Size(); !ack.YourIPAddr.Equal(one4.AsSlice()) || ones != 24 || ack.IPAddressLeaseTime(0) != time.Hour {
		t.Errorf("the lease is %v", ack.Summary())
	}
	for what, got := range map[string][]net.IP{"gateway": ack.Router(), "name server": ack.DNS(), "clock": ack.NTPServers()} {
		if len(got) != 1 || !got[0].Equal(two4.AsSlice()) {
			t.Errorf("%s: %v", what, got)
		}
	}
	m, err = dhcpv4.NewRenewFromAck(ack)
	send(m, err, two4.AsSlice())
	receive(dhcpv4.MessageTypeAck)
	m, err = dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(two4.AsSlice())))
	send(m, err, net.IPv4bcast)
	receive(dhcpv4.MessageTypeNak)

	if err := two.ServeDHCP(nil); err == nil {
		t.Error("two servers")
	}
}
