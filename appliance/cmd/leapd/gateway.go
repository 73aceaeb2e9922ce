package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"leap.example/appliance/firewall"
	"leap.example/appliance/tunnel"
	"leap.example/services/daemon"
	"leap.example/services/gateway"
)

// buildGateway makes the gateway over WireGuard and the firewall of the kernel:
// that of nodes.
func buildGateway(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg gateway.Config
	if err := c.Section("gateway", &cfg); err != nil {
		return nil, err
	}
	port, err := kernelPort(cfg)
	if err != nil {
		return nil, err
	}
	device := tunnel.New()
	peers := kernelPeers{device}
	s, err := gateway.New(cfg, gateway.DataPlane{Peers: peers, Limits: kernelLimits{}, Flows: peers}, log)
	if err != nil {
		return nil, err
	}
	return kernelGateway{s, cfg.WithDefaults(), port, device, log}, nil
}

// kernelPort is the one UDP port that WireGuard of the kernel has, on all addresses.
func kernelPort(cfg gateway.Config) (port uint16, err error) {
	for _, text := range cfg.WGListen {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return 0, fmt.Errorf("wg_listen: %w", err)
		}
		if port != 0 && at.Port() != port {
			return 0, errors.New("wg_listen: WireGuard of the kernel listens on one port")
		}
		port = at.Port()
	}
	if port == 0 {
		return 0, errors.New("wg_listen: a port is required")
	}
	return port, nil
}

// A kernelGateway is the gateway's process on a node. What it finds in the kernel
// it makes what its configuration says, and leaves there when it ends.
type kernelGateway struct {
	*gateway.Server
	cfg    gateway.Config
	port   uint16
	device *tunnel.Device
	log    *slog.Logger
}

// Run implements daemon.Service. The rules are there before the first packet.
func (g kernelGateway) Run(ctx context.Context) error {
	key, err := gateway.ReadKey(g.cfg.WGKeyFile)
	if err != nil {
		return err
	}
	rules := gatewayRules(g.cfg, g.port)
	if _, err := firewall.ApplyGateway(ctx, rules); err != nil {
		return err
	}
	plan, err := g.device.Up(ctx, tunnel.Config{PrivateKey: key, Port: g.port, Addresses: rules.Tunnel, MTU: g.cfg.MTU})
	for _, step := range plan {
		g.log.InfoContext(ctx, "changed", "part", "tunnel", "step", step)
	}
	if err != nil {
		return err
	}
	listeners, err := listenEarly(ctx, g.cfg.Listen)
	if err != nil {
		return err
	}
	return g.Serve(ctx, listeners...)
}

// listenEarly listens at addresses that the node may not have yet: those of IPv6
// are looked for among its neighbours first, which takes seconds.
func listenEarly(ctx context.Context, addresses []string) (all []net.Listener, err error) {
	early := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
		if strings.HasSuffix(network, "6") {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		}
		var err error
		outer := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) })
		return errors.Join(outer, err)
	}}
	for _, address := range addresses {
		ln, err := early.Listen(ctx, "tcp", address)
		if err != nil {
			for _, ln := range all {
				_ = ln.Close() // Nobody was let in.
			}
			return nil, err
		}
		all = append(all, ln)
	}
	return all, nil
}

// gatewayRules are those of a gateway whose WireGuard is at that port.
func gatewayRules(cfg gateway.Config, port uint16) firewall.Gateway {
	r := firewall.Gateway{Port: port, Egress: cfg.Egress, Rate: cfg.Rate}
	for i, network := range []netip.Prefix{cfg.IPv4, cfg.IPv6} {
		if network.IsValid() {
			r.Tunnel = append(r.Tunnel, netip.PrefixFrom(cfg.Own()[i], network.Bits()))
		}
	}
	for _, text := range cfg.Listen {
		_, port, _ := net.SplitHostPort(text) // It is validated.
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && !slices.Contains(r.API, uint16(n)) {
			r.API = append(r.API, uint16(n))
		}
	}
	for _, e := range cfg.Entry {
		also := slices.DeleteFunc(slices.Clone(e.Ports), func(p uint16) bool { return p == port })
		r.Entry = append(r.Entry, firewall.Entry{Addr: e.Addr, Ports: also})
	}
	return r
}

// kernelPeers are those of the kernel's WireGuard, and what it knows of their
// connections, as the gateway sees them.
type kernelPeers struct{ *tunnel.Device }

// Set implements gateway.Peers.
func (k kernelPeers) Set(ctx context.Context, peers ...gateway.Peer) error {
	all := make([]tunnel.Peer, len(peers))
	for i, p := range peers {
		all[i] = tunnel.Peer(p)
	}
	return k.Device.Set(ctx, all...)
}

// List implements gateway.Peers.
func (k kernelPeers) List(ctx context.Context) ([]gateway.PeerState, error) {
	states, err := k.Device.List(ctx)
	all := make([]gateway.PeerState, len(states))
	for i, s := range states {
		all[i] = gateway.PeerState(s)
	}
	return all, err
}

// kernelLimits are those of the kernel's firewall.
type kernelLimits struct{}

// Set implements gateway.Limits.
func (kernelLimits) Set(ctx context.Context, addresses []netip.Addr) error {
	return firewall.SetLimited(ctx, addresses)
}

// Add implements gateway.Limits.
func (kernelLimits) Add(ctx context.Context, addresses []netip.Addr) error {
	return firewall.AddLimited(ctx, addresses)
}

// Remove implements gateway.Limits.
func (kernelLimits) Remove(ctx context.Context, addresses []netip.Addr) error {
	return firewall.RemoveLimited(ctx, addresses)
}
