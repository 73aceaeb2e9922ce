package tunnel

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
)

// peers are a device's, as the gateway sees them.
type peers struct{ *Device }

func (p peers) Set(ctx context.Context, list ...gateway.Peer) error {
	for _, one := range list {
		if err := p.Device.Set(ctx, Peer(one)); err != nil {
			return err
		}
	}
	return nil
}

func (p peers) List(ctx context.Context) (all []gateway.PeerState, err error) {
	states, err := p.Device.List(ctx)
	for _, s := range states {
		all = append(all, gateway.PeerState(s))
	}
	return all, err
}

type limits struct{}

func (limits) Set(ctx context.Context, addresses []netip.Addr) error {
	return firewall.SetLimited(ctx, addresses)
}

func (limits) Add(ctx context.Context, addresses []netip.Addr) error {
	return firewall.AddLimited(ctx, addresses)
}

func (limits) Remove(ctx context.Context, addresses []netip.Addr) error {
	return firewall.RemoveLimited(ctx, addresses)
}

// TestConformance holds the kernel to what a gateway wants of its data plane.
//
//	users 203.0.113.2 ---- eth0, the node, eth1 ---- world 198.51.100.80, 10.1.2.3
func TestConformance(t *testing.T) {
	nettest.Need(t)
	gatewaytest.Test(t, func(t *testing.T) *gatewaytest.World {
		users, world := nettest.NewPeer(t), nettest.NewPeer(t)
		users.Veth(t, "eth0", "far", "203.0.113.2/24")
		world.Veth(t, "eth1", "far", "198.51.100.80/24", "2001:db8::80/64", "10.1.2.3/24")
		plug(t, "eth0", "203.0.113.5/24")
		plug(t, "eth1", "198.51.100.5/24", "198.51.100.6/24", "2001:db8::6/64", "10.1.2.4/24")
		nettest.WireGuard(t, node.TunnelDevice)
		c := config()
		c.PrivateKey = gatewaytest.NewKey()
		cfg := gateway.Config{
			IPv4: c.Addresses[0].Masked(), IPv6: c.Addresses[1].Masked(), Rate: 256 << 10,
			Egress: []netip.Addr{netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("2001:db8::6")},
		}
		d := node.Document{Agent: node.Agent{Port: 4430}, Services: map[string]node.Service{
			"gateway": {Net: true, Listeners: []node.Listener{
				{Protocol: "udp", Port: c.Port, From: "public"}, {Protocol: "udp", Port: 53, From: "tunnel"},
			}},
		}}
		end := func() {
			// The context of the test is over.
			ctx := context.WithoutCancel(t.Context())
			_, err := firewall.Apply(ctx, node.Document{Agent: d.Agent})
			must(t, err)
			_, err = Frame(ctx, node.Document{})
			must(t, err)
		}
		t.Cleanup(end)
		_, err := firewall.Apply(t.Context(), d)
		must(t, err)
		_, err = firewall.ApplyGateway(t.Context(), firewall.Gateway{Port: c.Port, Tunnel: c.Addresses, Egress: cfg.Egress, Rate: cfg.Rate})
		must(t, err)
		_, err = Frame(t.Context(), d)
		must(t, err)
		dev := New()
		_, err = dev.Up(t.Context(), c)
		must(t, err)
		return &gatewaytest.World{
			Config: cfg, Plane: gateway.DataPlane{Peers: peers{dev}, Limits: limits{}, Flows: dev},
			Public: c.PrivateKey.Public(), WireGuard: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.5"), c.Port),
			ClientSocket: func(t testing.TB) net.PacketConn { return packets(t, users, "203.0.113.2:0") },
			Server:       netip.MustParseAddr("198.51.100.80"), Server6: netip.MustParseAddr("2001:db8::80"),
			Private: netip.MustParseAddr("10.1.2.3"),
			Listen: func(network string, at netip.AddrPort) (ln net.Listener, c net.PacketConn, err error) {
				world.Do(t, func() error {
					if network == "tcp" {
						ln, err = net.Listen(network, at.String())
					} else {
						c, err = net.ListenPacket(network, at.String())
					}
					return nil
				})
				return ln, c, err
			},
			Resolver: func(t testing.TB) net.PacketConn {
				c, err := net.ListenPacket("udp", "10.64.0.1:53")
				if err != nil {
					t.Fatal(err)
				}
				return c
			},
			// Upward the sender is gvisor's TCP, of which packets beyond the rate are
			// dropped: it was seen to reach 0.2 to 0.5 of the rate.
			Least: gatewaytest.Shares{Up: 0.15, Down: 0.7},
		}
	})
}

func packets(t testing.TB, p *nettest.Peer, at string) (c net.PacketConn) {
	t.Helper()
	p.Do(t, func() (err error) { c, err = net.ListenPacket("udp", at); return err })
	return c
}
