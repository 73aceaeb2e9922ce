package firewall_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

// plug sets up this namespace's end of a cable.
func plug(t *testing.T, name string, addresses ...string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

// apply applies twice: the second time changes nothing.
func apply(t *testing.T, d node.Document) {
	t.Helper()
	if changed, err := firewall.Apply(t.Context(), d); err != nil || !changed {
		t.Fatalf("applying: changed %v, %v", changed, err)
	}
	if changed, err := firewall.Apply(t.Context(), d); err != nil || changed {
		t.Fatalf("applying again: changed %v, %v", changed, err)
	}
}

// flush takes the table away, for the next test.
func flush(t *testing.T) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	conn.AddTable(&nftables.Table{Name: "leap", Family: nftables.TableFamilyINet})
	conn.DelTable(&nftables.Table{Name: "leap", Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil {
		t.Skipf("the kernel has no nftables: %v", err)
	}
}

// wait is how long an answer may take on a cable of this machine. What is
// dropped is seen by its absence.
const wait = 400 * time.Millisecond

// reached tells whether a packet from the peer arrives: nobody listens, so a
// connection that is let through is refused at once.
func reached(t *testing.T, p *nettest.Peer, network, address string) bool {
	t.Helper()
	var err error
	p.Do(t, func() error {
		var c net.Conn
		if c, err = net.DialTimeout(network, address, wait); err != nil {
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err = c.Write([]byte("x")); err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		return nil
	})
	return errors.Is(err, syscall.ECONNREFUSED)
}

// ping sends echo requests from the peer and counts the answers.
func ping(t *testing.T, p *nettest.Peer, network, to string, count int) int {
	t.Helper()
	answers := 0
	p.Do(t, func() error {
		c, err := icmp.ListenPacket(network, map[string]string{"ip4:icmp": "0.0.0.0", "ip6:ipv6-icmp": "::"}[network])
		if err != nil {
			return err
		}
		defer c.Close()
		kind := map[string]icmp.Type{"ip4:icmp": ipv4.ICMPTypeEcho, "ip6:ipv6-icmp": ipv6.ICMPTypeEchoRequest}[network]
		packet, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: 7}}).Marshal(nil)
		if err != nil {
			return err
		}
		for range count {
			if _, err := c.WriteTo(packet, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
				return err
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		buffer := make([]byte, 100)
		for {
			n, _, err := c.ReadFrom(buffer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return err
			}
			if n > 0 && (buffer[0] == 0 || buffer[0] == 129) {
				answers++
			}
		}
	})
	return answers
}

func TestKernel(t *testing.T) {
	public, meshed := nettest.NewPeer(t), nettest.NewPeer(t)
	public.Veth(t, "eth0", "far", "192.0.2.1/24", "2001:db8::1/64", "10.9.0.66/32")
	meshed.Veth(t, node.MeshDevice, "far", "10.9.0.2/24")
	plug(t, "eth0", "192.0.2.5/24", "2001:db8::5/64")
	plug(t, node.MeshDevice, "10.9.0.1/24")
	flush(t)
	t.Cleanup(func() { flush(t) })

	// Without a firewall, all arrives.
	for _, address := range []string{"192.0.2.5:4430", "192.0.2.5:22", "[2001:db8::5]:22"} {
		nettest.Until(t, address+" is reached without a firewall", func() bool { return reached(t, public, "tcp", address) })
	}
	if n := ping(t, public, "ip4:icmp", "192.0.2.5", 60); n != 60 {
		t.Fatalf("without a firewall %d of 60 pings are answered", n)
	}

	apply(t, waiting())
	t.Run("waiting", func(t *testing.T) {
		table(t, []check{
			{public, "tcp", "192.0.2.5:4430", true},
			{public, "tcp", "[2001:db8::5]:4430", true},
			{public, "tcp", "192.0.2.5:443", false},
			{public, "udp", "192.0.2.5:51820", false},
			{meshed, "tcp", "10.9.0.1:5984", false},
		})
	})
	apply(t, web())
	t.Run("web", func(t *testing.T) {
		table(t, []check{
			{public, "tcp", "192.0.2.5:4430", true},
			{public, "tcp", "192.0.2.5:443", true},
			{public, "tcp", "[2001:db8::5]:443", true},
			{public, "udp", "192.0.2.5:53", true},
			{public, "udp", "192.0.2.5:51820", true},
			{public, "tcp", "192.0.2.5:5984", false},
			{public, "tcp", "192.0.2.5:22", false},
			{public, "tcp", "[2001:db8::5]:22", false},
			{public, "udp", "192.0.2.5:443", false},
			{meshed, "tcp", "10.9.0.1:4430", true},
			{meshed, "tcp", "10.9.0.1:5984", true},
			{meshed, "tcp", "10.9.0.1:443", false},
			{meshed, "udp", "10.9.0.1:51820", false},
		})
	})
	t.Run("ping", func(t *testing.T) {
		if n := ping(t, public, "ip6:ipv6-icmp", "2001:db8::5", 1); n != 1 {
			t.Errorf("%d answers on IPv6, want 1", n)
		}
		if n := ping(t, public, "ip4:icmp", "192.0.2.5", 200); n < 20 || n > 60 {
			t.Errorf("%d of 200 pings at once are answered, want about 20", n)
		}
	})
	t.Run("loopback", func(t *testing.T) {
		if _, err := net.DialTimeout("tcp", "127.0.0.1:22", wait); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("answers", func(t *testing.T) {
		if _, err := net.DialTimeout("tcp", "192.0.2.1:80", wait); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want the peer's refusal", err)
		}
	})
	t.Run("the mesh's addresses are the mesh's", func(t *testing.T) { beside(t, public) })
	t.Run("tampering", tampering)
}

type check struct {
	from             *nettest.Peer
	network, address string
	want             bool
}

func table(t *testing.T, checks []check) {
	t.Helper()
	for _, c := range checks {
		if got := reached(t, c.from, c.network, c.address); got != c.want {
			t.Errorf("%s %s reached: %v, want %v", c.network, c.address, got, c.want)
		}
	}
}

// beside takes the mesh's device down: its addresses would then go by the
// default route.
func beside(t *testing.T, public *nettest.Peer) {
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	// More special than the mesh's own network, as a route of DHCP could be.
	route := &netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(10, 9, 0, 66).To4(), Mask: net.CIDRMask(32, 32)}}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	if _, err := net.DialTimeout("tcp", "10.9.0.66:5984", wait); errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("a packet to the mesh left in clear")
	}
	var answered error
	public.Do(t, func() error {
		d := net.Dialer{Timeout: wait, LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.9.0.66:0"))}
		_, answered = d.Dial("tcp", "192.0.2.5:443")
		return nil
	})
	if errors.Is(answered, syscall.ECONNREFUSED) {
		t.Error("a packet with an address of the mesh came in beside it")
	}
}

// tampering: what others changed is seen and put right.
func tampering(t *testing.T) {
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func(c *nftables.Chain){
		"a rule more": func(c *nftables.Chain) { conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c}) },
		"no rules":    func(c *nftables.Chain) { conn.FlushChain(c) },
		"policy": func(c *nftables.Chain) {
			accept := nftables.ChainPolicyAccept
			c.Policy = &accept
			conn.AddChain(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range chains {
				if c.Name == "input" {
					tamper(c)
				}
			}
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			apply(t, web())
		})
	}
}
