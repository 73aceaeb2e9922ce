package netcfg_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"

	"leap.example/appliance/netcfg"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

func newNet(t *testing.T) (*netcfg.Net, netcfg.Config) {
	dir := t.TempDir()
	cfg := netcfg.Config{ResolvConf: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts"), Log: slog.New(slog.DiscardHandler)}
	return netcfg.New(cfg), cfg
}

func network(i node.Interface) node.Network { return node.Network{Interfaces: []node.Interface{i}} }

// apply fails the test unless the network obeys, and is then as it shall be.
func apply(t *testing.T, n *netcfg.Net, want node.Network) netcfg.Plan {
	t.Helper()
	done, err := n.Apply(t.Context(), want)
	if err != nil {
		t.Fatalf("applying: %v, done: %v", err, done)
	}
	if again, err := n.Apply(t.Context(), want); len(again) > 0 || err != nil {
		t.Fatalf("applied again it does %v, %v", again, err)
	}
	return done
}

// echo answers whatever it is told first, on TCP in the peer's namespace.
func echo(t *testing.T, p *nettest.Peer, address string) {
	t.Helper()
	var ln net.Listener
	p.Do(t, func() (err error) { ln, err = net.Listen("tcp", address); return err })
	done := make(chan struct{})
	t.Cleanup(func() { _ = ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.CopyN(c, c, 5)
				_ = c.Close()
			}()
		}
	}()
}

func hears(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	return talk(c) == nil
}

func talk(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	word := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, word)
	return err
}

func TestAddressesAndRoutes(t *testing.T) {
	p := nettest.NewPeer(t)
	p.Veth(t, "eth0", "far", "192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/32", "2001:db8:ff::1/128")
	echo(t, p, ":80")
	n, cfg := newNet(t)
	addresses := []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24"), netip.MustParsePrefix("2001:db8::5/64")}
	gateways := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	full := network(node.Interface{Name: "eth0", MTU: 1400, Addresses: addresses, Gateways: gateways})
	full.Hosts = map[string][]netip.Addr{"web.example.org": {netip.MustParseAddr("10.9.0.1")}}
	full.Nameservers = gateways[:1]
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(lo); err != nil {
		t.Fatal(err)
	}
	if done := apply(t, n, full); !slices.Contains(done, "lo: up") {
		t.Errorf("loopback stays down: %v", done)
	}
	for _, beyond := range []string{"198.51.100.1:80", "[2001:db8:ff::1]:80"} {
		nettest.Until(t, "the peer answers at "+beyond, func() bool { return hears(beyond) })
	}
	for path, line := range map[string]string{cfg.ResolvConf: "nameserver 192.0.2.1\n", cfg.Hosts: "10.9.0.1 web.example.org\n"} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), line) {
			t.Errorf("%s is %q, %v", path, text, err)
		}
	}

	t.Run("a connection outlives another prefix and another route", func(t *testing.T) {
		c, err := net.Dial("tcp", "192.0.2.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		done := apply(t, n, network(node.Interface{Name: "eth0", MTU: 1400, Gateways: gateways, Addresses: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.6/24"), netip.MustParsePrefix("192.0.2.5/25"), netip.MustParsePrefix("2001:db8::5/48"),
		}}))
		if slices.Contains(done, "eth0: down") || slices.Contains(done, "eth0: up") {
			t.Errorf("the card went down: %v", done)
		}
		if err := talk(c); err != nil {
			t.Errorf("the connection is cut: %v", err)
		}
	})
	t.Run("what is no longer wanted goes", func(t *testing.T) {
		apply(t, n, network(node.Interface{Name: "eth0", Addresses: addresses[:1]}))
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Attrs().MTU != 1500 {
			t.Errorf("the MTU is %d, want the card's", l.Attrs().MTU)
		}
		all, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil || len(all) != 1 || all[0].IPNet.String() != "192.0.2.5/24" {
			t.Errorf("addresses are %v, %v", all, err)
		}
		if hears("198.51.100.1:80") {
			t.Error("the default route is still there")
		}
	})
	t.Run("a card that the document does not name goes down", func(t *testing.T) {
		nettest.NewPeer(t).Veth(t, "eth1", "far1")
		apply(t, n, network(node.Interface{Name: "eth1", Addresses: addresses}))
		if hears("192.0.2.1:80") {
			t.Error("the old card still works")
		}
	})
}

// advertise sends one router advertisement from the peer (RFC 4861, 4.2, 4.6.2):
// a default route, and the prefix 2001:db8:1::/64 to make addresses from.
// It fails until the cable is seen to be plugged in.
func advertise(t *testing.T, p *nettest.Peer) error {
	t.Helper()
	var sent error
	packet := make([]byte, 16+32)
	packet[0], packet[4] = 134, 64
	binary.BigEndian.PutUint16(packet[6:], 1800)
	option := packet[16:]
	copy(option, []byte{3, 4, 64, 0xc0})
	binary.BigEndian.PutUint32(option[4:], 3600)
	binary.BigEndian.PutUint32(option[8:], 1800)
	copy(option[16:], netip.MustParseAddr("2001:db8:1::").AsSlice())
	p.Do(t, func() error {
		c, err := icmp.ListenPacket("ip6:ipv6-icmp", "fe80::1%far")
		if err != nil {
			return err
		}
		defer c.Close()
		p6 := c.IPv6PacketConn()
		if err := errors.Join(p6.SetMulticastHopLimit(255), p6.SetChecksum(true, 2)); err != nil {
			return err
		}
		_, sent = p6.WriteTo(packet, nil, &net.IPAddr{IP: net.ParseIP("ff02::1"), Zone: "far"})
		return nil
	})
	return sent
}

func TestRouterAdvertisements(t *testing.T) {
	p := nettest.NewPeer(t)
	p.Veth(t, "eth0", "far", "fe80::1/64", "2001:db8:ff::1/128")
	echo(t, p, ":80")
	n, _ := newNet(t)
	believing := network(node.Interface{Name: "eth0", Router: true})
	apply(t, n, believing)
	nettest.Until(t, "the advertised route leads to the peer", func() bool {
		if advertise(t, p) != nil {
			return false
		}
		p.Do(t, func() error { // The peer has a way back.
			l, err := netlink.LinkByName("far")
			if err != nil {
				return err
			}
			return netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: net.ParseIP("2001:db8:1::"), Mask: net.CIDRMask(64, 128)}})
		})
		return hears("[2001:db8:ff::1]:80")
	})
	apply(t, n, believing)

	apply(t, n, network(node.Interface{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::5/64")}}))
	if err := advertise(t, p); err != nil {
		t.Fatal(err)
	}
	if hears("[2001:db8:ff::1]:80") {
		t.Error("what was advertised is still used")
	}
}

// A server is a small DHCP server.
type server struct {
	conn    *server4.Server
	address net.IP
	lease   time.Duration
	nak     chan struct{} // Closed: refuse to renew.
	renewed chan struct{}
}

func (s *server) serve(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
	kind := map[dhcpv4.MessageType]dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover: dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest: dhcpv4.MessageTypeAck,
	}[m.MessageType()]
	if m.MessageType() == dhcpv4.MessageTypeRequest && !m.ClientIPAddr.IsUnspecified() {
		select {
		case s.renewed <- struct{}{}:
		default:
		}
		select {
		case <-s.nak:
			kind = dhcpv4.MessageTypeNak
		default:
		}
	}
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(s.address), dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithLeaseTime(uint32(s.lease.Seconds())), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))),
		dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(2*time.Second)), dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(192, 0, 2, 123))),
	)
	if err == nil {
		_, _ = conn.WriteTo(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
	}
}

func start(t *testing.T, p *nettest.Peer, s *server) func() {
	t.Helper()
	p.Do(t, func() (err error) {
		s.conn, err = server4.NewServer("far", &net.UDPAddr{Port: 67}, s.serve)
		return err
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.conn.Serve() }()
	return func() { _ = s.conn.Close(); <-done }
}

func run(t *testing.T, n *netcfg.Net) func() {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func owned(t *testing.T) string {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	all, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 0, len(all))
	for _, a := range all {
		texts = append(texts, a.IPNet.String())
	}
	return fmt.Sprint(texts)
}

func lifetime(t *testing.T) time.Duration {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	all, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil || len(all) != 1 {
		return 0
	}
	return time.Duration(all[0].ValidLft) * time.Second
}

func TestDHCP(t *testing.T) {
	p := nettest.NewPeer(t)
	p.Veth(t, "eth0", "far", "192.0.2.1/24", "198.51.100.1/32")
	echo(t, p, ":80")
	n, cfg := newNet(t)
	leased := network(node.Interface{Name: "eth0", DHCP: true})
	apply(t, n, leased)
	stop := run(t, n)
	defer func() { stop() }()
	nettest.Until(t, "the node says that nobody answers", func() bool {
		trouble := n.Trouble()
		return len(trouble) == 1 && strings.HasPrefix(trouble[0], "eth0: no lease yet")
	})

	s := &server{address: net.IPv4(192, 0, 2, 9), lease: 8 * time.Second, nak: make(chan struct{}), renewed: make(chan struct{}, 1)}
	end := start(t, p, s)
	nettest.Until(t, "there is a lease", func() bool { return owned(t) == "[192.0.2.9/24]" && len(n.Trouble()) == 0 })
	nettest.Until(t, "the leased route leads to the peer", func() bool { return hears("198.51.100.1:80") })
	if text, err := os.ReadFile(cfg.ResolvConf); err != nil || !strings.Contains(string(text), "nameserver 192.0.2.53\n") {
		t.Errorf("the list of name servers is %q, %v", text, err)
	}
	if got := n.TimeServers(); !slices.Equal(got, []string{"192.0.2.123"}) {
		t.Errorf("time servers are %v", got)
	}
	<-s.renewed
	granted := time.Now()
	nettest.Until(t, "the lease is renewed", func() bool {
		return lifetime(t) > s.lease-time.Since(granted)-2*time.Second && owned(t) == "[192.0.2.9/24]"
	})

	// A new agent keeps what the old one leased.
	stop()
	n = netcfg.New(cfg)
	if done, err := n.Apply(t.Context(), leased); err != nil || len(done) > 0 {
		t.Errorf("a new agent does %v, %v", done, err)
	}
	if got := owned(t); got != "[192.0.2.9/24]" {
		t.Errorf("a new agent has %v", got)
	}
	stop = run(t, n)
	nettest.Until(t, "the new agent has its own lease", func() bool { return len(n.TimeServers()) == 1 })

	// The server refuses, and grants another.
	end()
	refusing := make(chan struct{})
	close(refusing)
	other := &server{address: net.IPv4(192, 0, 2, 10), lease: time.Minute, nak: refusing, renewed: make(chan struct{}, 1)}
	end = start(t, p, other)
	nettest.Until(t, "the node has the other address alone", func() bool { return owned(t) == "[192.0.2.10/24]" && len(n.Trouble()) == 0 })
	end()

	apply(t, n, network(node.Interface{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}}))
	if got := owned(t); got != "[192.0.2.10/24]" {
		t.Errorf("made static it has %v", got)
	}
	nettest.Until(t, "the lease is forgotten", func() bool { return len(n.TimeServers()) == 0 })
}
