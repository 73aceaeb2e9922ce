package firewall_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

// tell has a peer tell everybody who comes by TCP or UDP at which address it
// sees him, at all of its addresses.
func tell(t *testing.T, p *nettest.Peer, port int) {
	t.Helper()
	var ln net.Listener
	var packets net.PacketConn
	p.Do(t, func() (err error) {
		ln, err = net.Listen("tcp", fmt.Sprint(":", port))
		if err == nil {
			packets, err = net.ListenPacket("udp", fmt.Sprint(":", port))
		}
		return err
	})
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, host(c.RemoteAddr()))
			_ = c.Close()
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		b := make([]byte, 2000)
		for {
			_, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(host(from)), from)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); _ = packets.Close(); <-done; <-done })
}

func host(a net.Addr) string {
	name, _, _ := net.SplitHostPort(a.String())
	return name
}

// seen is at which address the one at to sees who comes from an address of a
// peer. "": he never comes.
func seen(t *testing.T, p *nettest.Peer, network, from, to string) (text string) {
	t.Helper()
	p.Do(t, func() error {
		d := net.Dialer{Timeout: wait, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
		}
		c, err := d.Dial(network, to)
		if err != nil {
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if network == "udp" {
			_, err = c.Write([]byte("x"))
		}
		b := make([]byte, 100)
		if n, err2 := c.Read(b); err == nil && err2 == nil {
			text = string(b[:n])
		}
		return nil
	})
	return text
}

// route has a namespace reach a network, or everything of its family, by way of
// a router.
func route(to, via string) error {
	r := &netlink.Route{Gw: net.ParseIP(via)}
	if p, err := netip.ParsePrefix(to); err == nil {
		r.Dst = &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return netlink.RouteAdd(r)
}

// The device of the users is a cable here, since these rules know its name only.
//
//	users 10.64.0.2, .3 ---- wg-gw, the node, eth0 ---- world 198.51.100.80
func TestGateway(t *testing.T) {
	users, world := nettest.NewPeer(t), nettest.NewPeer(t)
	users.Veth(t, node.TunnelDevice, "far", "10.64.0.2/16", "10.64.0.3/16", "10.65.0.1/16", "fd00:64::2/64")
	world.Veth(t, "eth0", "far", "198.51.100.80/24", "10.1.2.3/24", "2001:db8::80/64", "203.0.113.9/32")
	plug(t, node.TunnelDevice, "10.64.0.1/16", "fd00:64::1/64")
	plug(t, "eth0", "198.51.100.5/24", "198.51.100.6/24", "198.51.100.7/24", "10.1.2.4/24", "2001:db8::5/64", "2001:db8::6/64")
	meet(t, users, node.TunnelDevice, "far", "fd00:64::1", "fd00:64::2")
	users.Do(t, func() error {
		return errors.Join(route("0.0.0.0/0", "10.64.0.1"), route("::/0", "fd00:64::1"))
	})
	world.Do(t, func() error { return route("10.64.0.0/16", "198.51.100.5") })
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flush(t)
	t.Cleanup(func() { flush(t) })
	for _, port := range []int{25, 53, 80, 162, 5353} {
		tell(t, world, port)
	}
	nettest.Until(t, "the world is reached without rules", func() bool {
		return seen(t, users, "tcp", "10.64.0.2", "198.51.100.80:25") == "10.64.0.2" && seen(t, users, "tcp", "10.64.0.2", "10.1.2.3:53") != ""
	})

	g := tunnel()
	g.Entry = entries("198.51.100.5", "2001:db8::5")
	g.Egress = []netip.Addr{netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("2001:db8::6")}
	g.Rate = 20000
	d := gateway()
	d.Mesh = nil
	apply(t, d)
	if text := seen(t, users, "tcp", "10.64.0.2", "198.51.100.80:80"); text != "10.64.0.2" {
		t.Errorf("without the gateway's rules, users are seen at %q", text)
	}
	applyGateway(t, g)

	for _, c := range []struct{ network, from, to, want string }{
		{"tcp", "10.64.0.2", "198.51.100.80:80", "198.51.100.6"},
		{"udp", "10.64.0.3", "198.51.100.80:80", "198.51.100.6"},
		{"tcp", "fd00:64::2", "[2001:db8::80]:80", "2001:db8::6"},
		{"udp", "fd00:64::2", "[2001:db8::80]:80", "2001:db8::6"},
		{"tcp", "10.64.0.2", "198.51.100.80:25", ""},
		{"tcp", "10.64.0.2", "198.51.100.80:53", ""},
		{"udp", "10.64.0.2", "198.51.100.80:53", ""},
		{"udp", "fd00:64::2", "[2001:db8::80]:53", ""},
		{"udp", "10.64.0.2", "198.51.100.80:162", ""},
		{"udp", "10.64.0.2", "198.51.100.80:5353", "198.51.100.6"},
		{"tcp", "10.64.0.2", "10.1.2.3:80", ""},
		{"tcp", "10.65.0.1", "198.51.100.80:80", ""}, // Not a user's address.
	} {
		if got := seen(t, users, c.network, c.from, c.to); got != c.want {
			t.Errorf("%s from %s: %s sees %q, want %q", c.network, c.from, c.to, got, c.want)
		}
	}
	t.Run("the node", func(t *testing.T) {
		table(t, []check{
			{users, "udp", "10.64.0.1:53", true},
			{users, "tcp", "[fd00:64::1]:53", true},
			{users, "tcp", "10.64.0.1:4430", false},
			{users, "tcp", "10.64.0.1:443", false},
			{users, "tcp", "198.51.100.5:443", true},
			{users, "tcp", "198.51.100.6:443", false},
			{users, "tcp", "198.51.100.5:4430", false}, // The agent, and what the world may reach.
			{users, "tcp", "[2001:db8::5]:4430", false},
			{users, "udp", "198.51.100.5:51821", false},
			{world, "tcp", "198.51.100.5:4430", true},
			{users, "tcp", "10.1.2.4:443", false},
			{world, "tcp", "10.1.2.4:443", true},
			{world, "udp", "10.64.0.1:53", false},
			{world, "udp", "198.51.100.5:51821", true},
		})
	})
	t.Run("the world does not come in", func(t *testing.T) {
		tell(t, users, 80)
		if text := seen(t, world, "tcp", "198.51.100.80", "10.64.0.2:80"); text != "" {
			t.Errorf("a user is reached, and sees %q", text)
		}
		if text := seen(t, world, "tcp", "203.0.113.9", "198.51.100.5:443"); text != "" {
			t.Error("an address that is not there is answered")
		}
	})
	t.Run("ports", func(t *testing.T) {
		packets, err := net.ListenPacket("udp", ":51821")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 10)
			for {
				_, from, err := packets.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = packets.WriteTo([]byte("WireGuard"), from)
			}
		}()
		defer func() { _ = packets.Close(); <-done }()
		for _, to := range []string{"198.51.100.5:53", "198.51.100.5:443", "198.51.100.5:51821", "[2001:db8::5]:1194"} {
			from := "198.51.100.80"
			if strings.HasPrefix(to, "[") {
				from = "2001:db8::80"
			}
			if text := seen(t, world, "udp", from, to); text != "WireGuard" {
				t.Errorf("%s leads to %q", to, text)
			}
		}
		if text := seen(t, world, "udp", "198.51.100.80", "198.51.100.6:443"); text != "" {
			t.Errorf("the address of the egress leads to %q", text)
		}
	})
	t.Run("limits", func(t *testing.T) { limits(t, users, world, g) })
	t.Run("connections", func(t *testing.T) { beginnings(t, users) })
	t.Run("shares", func(t *testing.T) {
		g.Egress = []netip.Addr{netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("198.51.100.7")}
		applyGateway(t, g)
		got := map[string]bool{}
		users.Do(t, func() error {
			for i := range 16 {
				a, err := netlink.ParseAddr(fmt.Sprintf("10.64.1.%d/16", i+1))
				if err != nil {
					return err
				}
				l, err := netlink.LinkByName("far")
				if err == nil {
					err = netlink.AddrAdd(l, a)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		for i := range 16 {
			from := fmt.Sprintf("10.64.1.%d", i+1)
			first := seen(t, users, "tcp", from, "198.51.100.80:80")
			got[first] = true
			if again := seen(t, users, "udp", from, "198.51.100.80:5353"); again != first {
				t.Errorf("%s is seen at %s, and at %s", from, first, again)
			}
		}
		if len(got) != 2 || got[""] {
			t.Errorf("users are seen at %v", got)
		}
	})
	t.Run("no gateway any more", func(t *testing.T) { apply(t, waiting()); noGateway(t) })
}

// meet has two ends of a cable know each other's hardware address: WireGuard has
// no neighbours, so these rules let nobody ask.
func meet(t *testing.T, p *nettest.Peer, near, far, nearAddress, farAddress string) {
	t.Helper()
	l, err := netlink.LinkByName(near)
	if err != nil {
		t.Fatal(err)
	}
	know := func(link netlink.Link, address string, other netlink.Link) error {
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(address), HardwareAddr: other.Attrs().HardwareAddr,
		})
	}
	var other netlink.Link
	p.Do(t, func() (err error) {
		if other, err = netlink.LinkByName(far); err != nil {
			return err
		}
		return know(other, nearAddress, l)
	})
	if err := know(l, farAddress, other); err != nil {
		t.Fatal(err)
	}
}

func applyGateway(t *testing.T, g firewall.Gateway) {
	t.Helper()
	if changed, err := firewall.ApplyGateway(t.Context(), g); err != nil || !changed {
		t.Fatalf("applying: changed %v, %v", changed, err)
	}
	if changed, err := firewall.ApplyGateway(t.Context(), g); err != nil || changed {
		t.Fatalf("applying again: changed %v, %v", changed, err)
	}
}

// noGateway checks that the rules of a gateway are gone.
func noGateway(t *testing.T) {
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil || len(tables) != 1 {
		t.Errorf("on a node that is no gateway there are %d tables, %v", len(tables), err)
	}
	if err := firewall.SetLimited(t.Context(), nil); err == nil {
		t.Error("addresses are limited where there are no rules")
	}
}

// limits sends more than a limited address may, in each direction.
func limits(t *testing.T, users, world *nettest.Peer, g firewall.Gateway) {
	limited := []netip.Addr{netip.MustParseAddr("10.64.0.3"), netip.MustParseAddr("fd00:64::2")}
	set := func(addresses ...netip.Addr) {
		t.Helper()
		if err := firewall.SetLimited(t.Context(), addresses); err != nil {
			t.Fatal(err)
		}
	}
	set(append(many(20_000), limited[0])...) // More than fits into one transaction.
	set(limited[0])
	for range 2 { // What is there may be added, and what is not there removed.
		if err := errors.Join(firewall.AddLimited(t.Context(), append(many(3000), limited[1])), firewall.RemoveLimited(t.Context(), many(3000))); err != nil {
			t.Fatal(err)
		}
	}
	const count = 60
	for _, c := range []struct {
		from, to    string
		size, burst int // 0: not limited.
	}{
		{"10.64.0.2", "198.51.100.80:5353", 1000, 0},
		{"10.64.0.3", "198.51.100.80:5353", 1000, 10},
		{"10.64.0.3", "198.51.100.80:5353", 500, 37},
		{"fd00:64::2", "[2001:db8::80]:5353", 500, 37},
	} {
		sent, got := flood(t, users, c.from, c.to, c.size, count)
		switch most := c.burst + 5; {
		case sent != count:
			t.Errorf("%s sent %d of %d", c.from, sent, count)
		case c.burst == 0 && got != count:
			t.Errorf("of %s %d of %d arrive", c.from, got, count)
		case c.burst > 0 && (got < c.burst/2 || got > most):
			t.Errorf("of %s, which is limited, %d of %d arrive, want at most %d", c.from, got, count, most)
		}
	}
	set()
	if _, got := flood(t, users, "10.64.0.3", "198.51.100.80:5353", 1000, count); got != count {
		t.Errorf("not limited any more, %d of %d arrive", got, count)
	}
}

// beginnings has a user begin more connections than it may, and looks at what
// the kernel keeps of it.
func beginnings(t *testing.T, users *nettest.Peer) {
	const count = 3000
	begin := time.Now()
	for _, from := range []string{"10.64.0.2", "fd00:64::2"} {
		to := net.ParseIP("198.51.100.80")
		if strings.Contains(from, ":") {
			to = net.ParseIP("2001:db8::80")
		}
		users.Do(t, func() error {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)))
			if err != nil {
				return err
			}
			defer c.Close()
			for port := range count {
				if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: to, Port: 20000 + port}); err != nil {
					return err
				}
			}
			return nil
		})
		kept := 0
		for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range flows {
				if f.Forward.SrcIP.Equal(net.ParseIP(from)) {
					kept++
				}
			}
		}
		if most := 2100 + int(25*time.Since(begin).Seconds()); kept < 1900 || kept > most {
			t.Errorf("of %d connections of %s the kernel keeps %d, want some 2048", count, from, kept)
		}
		if text := seen(t, users, "udp", "10.64.0.3", "198.51.100.80:5353"); text == "" {
			t.Errorf("another user is kept out by %s", from)
		}
	}
}

// many are addresses of users.
func many(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{10, 64, byte(16 + i>>8), byte(i)}), netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x64, 14: byte(16 + i>>8), 15: byte(i)}))
	}
	return list
}

// flood sends packets at once, and counts those that are answered.
func flood(t *testing.T, p *nettest.Peer, from, to string, size, count int) (sent, got int) {
	t.Helper()
	p.Do(t, func() error {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
		c, err := d.Dial("udp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		for range count {
			if _, err := c.Write(make([]byte, size)); err == nil {
				sent++
			}
		}
		for b := make([]byte, 100); ; {
			_ = c.SetReadDeadline(time.Now().Add(wait))
			if _, err := c.Read(b); err != nil {
				return nil
			}
			got++
		}
	})
	return sent, got
}
