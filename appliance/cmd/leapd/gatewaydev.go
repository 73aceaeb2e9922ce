package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"os"

	"golang.org/x/sync/errgroup"

	"leap.example/appliance/dev"
	"leap.example/services/daemon"
	"leap.example/services/gateway"
	"leap.example/services/gateway/netstack"
)

// userspaceGateway is the name under which "leapd run" runs a gateway that needs
// no root. Nodes do not know it.
const userspaceGateway = "gateway-userspace"

// buildUserspaceGateway makes a gateway that carries packets in its own process.
func buildUserspaceGateway(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg gateway.Config
	if err := c.Section("gateway", &cfg); err != nil {
		return nil, err
	}
	plane, err := netstack.New(cfg)
	if err != nil {
		return nil, err
	}
	s, err := gateway.New(cfg, plane.DataPlane(), log)
	return carried{s, plane}, err
}

// A carried gateway comes with its data plane.
type carried struct {
	checked
	plane *netstack.Plane
}

// Run implements daemon.Service.
func (c carried) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.plane.Run(ctx) })
	g.Go(func() error { return c.checked.Run(ctx) })
	return g.Wait()
}

// lab is a network of this machine's loopback, and the name by which clients of a
// developer's gateway reach it: no packet for loopback goes through a tunnel.
var lab = gateway.ConfigLab{As: netip.MustParsePrefix("192.0.2.0/24"), Is: netip.MustParsePrefix("127.0.0.0/24")}

// devGateways returns the configurations of the gateways.
func devGateways(p dev.Provider) (list []gateway.Config) {
	for _, g := range p.Gateways() {
		api, wg := netip.MustParseAddrPort(g.Lease), netip.MustParseAddrPort(g.WireGuard)
		list = append(list, gateway.Config{
			Listen: []string{g.Lease}, CertFile: g.CertFile, KeyFile: g.CertKey, ClientCAFile: p.Path("ca", "client_ca.crt"),
			WGKeyFile: g.WGKeyFile, RunDir: g.RunDir, WGListen: []string{g.WireGuard},
			Entry: []gateway.ConfigEntry{{Addr: api.Addr(), Ports: []uint16{wg.Port()}, TLSPorts: []uint16{api.Port()}}},
			IPv4:  netip.MustParsePrefix("10.64.0.0/16"), Egress: []netip.Addr{g.Egress},
			Resolver: p.Addr(dev.PortDNS), Lab: []gateway.ConfigLab{lab},
		})
	}
	return list
}

// addGateways adds the processes of gateways to g, if there are several.
func addGateways(g *daemon.Group, p dev.Provider, log *slog.Logger, out io.Writer) error {
	configs := devGateways(p)
	if len(configs) == 1 {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i, one := range p.Gateways() {
		data, err := json.MarshalIndent(map[string]any{"daemon": daemon.Settings{}, "gateway": configs[i]}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(one.Config, append(data, '\n'), 0o600); err != nil {
			return err
		}
		g.Add(one.Name, &process{
			argv: []string{self, "run", userspaceGateway, "--config", one.Config}, pidFile: one.PIDFile, out: out, log: log,
		})
	}
	return nil
}
